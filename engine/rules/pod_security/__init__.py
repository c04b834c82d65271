"""validate.podSecurity: the Pod Security Standards, their versions, and what a policy or an exception excludes from them."""

from __future__ import annotations

from engine.rules.pod_security.check import PodSecurityCheck, compile_check
from engine.rules.pod_security.exclusions import Exclusion, compile_exclusions

__all__ = ["Exclusion", "PodSecurityCheck", "compile_check", "compile_exclusions"]
