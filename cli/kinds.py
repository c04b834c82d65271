"""The kinds that every cluster has: their plural names, and which of them are namespaced.

Of other kinds the plural is guessed and the scope counts as namespaced, unless a CustomResourceDefinition says otherwise
(cli-format.md 2, 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from engine import GroupVersionKind

_TABLE = """
v1: *ComponentStatus/componentstatuses *Namespace *Node *PersistentVolume Binding ConfigMap Endpoints/endpoints Event LimitRange
  PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount
admissionregistration.k8s.io/v1: *MutatingWebhookConfiguration *ValidatingWebhookConfiguration *ValidatingAdmissionPolicy
  *ValidatingAdmissionPolicyBinding *MutatingAdmissionPolicy *MutatingAdmissionPolicyBinding
admissionregistration.k8s.io/v1beta1: *ValidatingAdmissionPolicy *ValidatingAdmissionPolicyBinding *MutatingAdmissionPolicy
  *MutatingAdmissionPolicyBinding
admissionregistration.k8s.io/v1alpha1: *ValidatingAdmissionPolicy *ValidatingAdmissionPolicyBinding *MutatingAdmissionPolicy
  *MutatingAdmissionPolicyBinding
apiextensions.k8s.io/v1: *CustomResourceDefinition
apiregistration.k8s.io/v1: *APIService
apps/v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet
authentication.k8s.io/v1: *TokenReview *SelfSubjectReview
authorization.k8s.io/v1: LocalSubjectAccessReview *SelfSubjectAccessReview *SelfSubjectRulesReview *SubjectAccessReview
autoscaling/v1: HorizontalPodAutoscaler Scale
autoscaling/v2: HorizontalPodAutoscaler
batch/v1: CronJob Job
batch/v1beta1: CronJob
certificates.k8s.io/v1: *CertificateSigningRequest
certificates.k8s.io/v1alpha1: *ClusterTrustBundle
coordination.k8s.io/v1: Lease
discovery.k8s.io/v1: EndpointSlice
events.k8s.io/v1: Event
extensions/v1beta1: Ingress
flowcontrol.apiserver.k8s.io/v1: *FlowSchema *PriorityLevelConfiguration
internal.apiserver.k8s.io/v1alpha1: *StorageVersion
networking.k8s.io/v1: Ingress *IngressClass *IPAddress NetworkPolicy *ServiceCIDR
networking.k8s.io/v1beta1: Ingress *IngressClass *IPAddress *ServiceCIDR
node.k8s.io/v1: *RuntimeClass
policy/v1: PodDisruptionBudget Eviction
policy/v1beta1: PodDisruptionBudget *PodSecurityPolicy
rbac.authorization.k8s.io/v1: *ClusterRole *ClusterRoleBinding Role RoleBinding
resource.k8s.io/v1: *DeviceClass ResourceClaim ResourceClaimTemplate *ResourceSlice
scheduling.k8s.io/v1: *PriorityClass
storage.k8s.io/v1: *CSIDriver *CSINode CSIStorageCapacity *StorageClass *VolumeAttachment *VolumeAttributesClass
storagemigration.k8s.io/v1alpha1: *StorageVersionMigration
kyverno.io/v1: *ClusterPolicy Policy
kyverno.io/v2: *ClusterCleanupPolicy CleanupPolicy PolicyException UpdateRequest *GlobalContextEntry
kyverno.io/v2beta1: *ClusterCleanupPolicy CleanupPolicy PolicyException *GlobalContextEntry
kyverno.io/v2alpha1: *GlobalContextEntry
"""


class Resource(NamedTuple):
    """What the API server knows of a kind."""

    plural: str
    namespaced: bool


Kinds = Mapping[GroupVersionKind, Resource]


def plural_of(kind: str) -> str:
    """The usual plural: lower case, English endings."""
    name = kind.lower()
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def _built_in() -> dict[GroupVersionKind, Resource]:
    kinds = {}
    group_version = ""
    for word in _TABLE.split():
        if word.endswith(":"):
            group_version = word[:-1]
            continue
        group, _, version = group_version.rpartition("/")
        kind, _, plural = word.removeprefix("*").partition("/")
        kinds[GroupVersionKind(group, version, kind)] = Resource(plural or plural_of(kind), not word.startswith("*"))
    return kinds


BUILT_IN: Kinds = _built_in()
_CLUSTER_SCOPED = frozenset((gvk.group, gvk.kind) for gvk, resource in BUILT_IN.items() if not resource.namespaced)


def with_definitions(documents: Iterable[Mapping[str, Any]]) -> Kinds:
    """The built-in kinds and those of CustomResourceDefinition documents."""
    kinds = dict(BUILT_IN)
    for document in documents:
        if document.get("kind") != "CustomResourceDefinition":
            continue
        spec = document.get("spec") or {}
        names = spec.get("names") or {}
        for version in spec.get("versions") or []:
            gvk = GroupVersionKind(str(spec.get("group") or ""), str(version.get("name") or ""), str(names.get("kind") or ""))
            kinds[gvk] = Resource(str(names.get("plural") or plural_of(gvk.kind)), spec.get("scope") != "Cluster")
    return kinds


def resource_of(gvk: GroupVersionKind, kinds: Kinds = BUILT_IN) -> Resource:
    """The kind's plural and scope; guessed for one that is not known."""
    known = kinds.get(gvk)
    if known is not None:
        return known
    return Resource(plural_of(gvk.kind), (gvk.group, gvk.kind) not in _CLUSTER_SCOPED)
