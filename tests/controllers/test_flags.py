"""The command line: Kyverno's flags in Kyverno's spelling."""

from __future__ import annotations

import pytest

from controllers.admission import flags
from controllers.cluster.flags import Environment


def test_kyvernos_own_command_line_is_accepted() -> None:
    line = (
        "--caSecretName=kyverno-svc.kyverno.svc.kyverno-tls-ca --tlsSecretName=x --backgroundServiceAccountName=b "
        "--reportsServiceAccountName=r --servicePort=443 --webhookServerPort=9543 --resyncPeriod=15m --crdWatcher=true "
        "--admissionReports=true --maxAdmissionReports=1000 --autoUpdateWebhooks=true --enableConfigMapCaching=true "
        "--enableDeferredLoading=true --forceFailurePolicyIgnore=false --generateValidatingAdmissionPolicy=true "
        "--generateMutatingAdmissionPolicy=false --maxAPICallResponseLength=2000000 --enablePolicyException=true "
        "--exceptionNamespace=* --protectManagedResources=false --enableReporting=validate,mutate --disableMetrics "
        "--controllerRuntimeMetricsAddress=0 -v=4"
    )
    read = flags.read(line.split())
    assert (read.tlsSecretName, read.webhookServerPort, read.resyncPeriod) == ("x", 9543, 900.0)
    assert (read.disableMetrics, read.forceFailurePolicyIgnore, read.v) == (True, False, 4)


@pytest.mark.parametrize(
    "line",
    [
        "--nonsense",
        "--autoUpdateWebhooks=perhaps",
        "--resyncPeriod=15",
        "--tlsKeyAlgorithm=DSA",
        "--leaderElectionRetryPeriod=0",
        "--metricsPort=70000",
    ],
)
def test_what_is_not_understood_ends_the_process(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        flags.read([line])
    assert line.lstrip("-").split("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("15m", 900), ("1h30m", 5400), ("250ms", 0.25), ("0", 0), ("1.5s", 1.5)])
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert flags.seconds(text) == seconds


def test_who_we_are_comes_from_the_environment() -> None:
    environment = Environment.read({"KYVERNO_NAMESPACE": "policy", "KYVERNO_POD_NAME": "p-0"}, controller="admission")
    assert (environment.namespace, environment.pod, environment.service) == ("policy", "p-0", "kyverno-svc")
