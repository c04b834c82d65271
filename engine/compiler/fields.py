"""The fields of ClusterPolicy and Policy (kyverno.io/v1, v2beta1): names, types, enumerations (spec 1.2).

An API server checks documents against the CRD before we see them; the CLI has none, so that a misspelt field would be a rule
that silently does less. One compact table serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.compiler.shape import (
    Check,
    anything,
    boolean,
    check_document,
    integer,
    list_of,
    map_of,
    mapping,
    nested,
    one_of,
    record,
    text,
)

texts = list_of(text)
text_map = map_of(text)
selector = record(
    matchLabels=text_map, matchExpressions=list_of(record(("key", "operator"), key=text, operator=text, values=texts))
)
action = one_of("audit", "enforce", "Audit", "Enforce")
overrides = list_of(record(action=action, namespaces=texts, namespaceSelector=selector))
failure_policy = one_of("Ignore", "Fail")
credentials = record(
    allowInsecureRegistry=boolean, providers=list_of(one_of("default", "amazon", "azure", "google", "github")), secrets=texts
)

resources = record(
    kinds=texts,
    name=text,
    names=texts,
    namespaces=texts,
    annotations=text_map,
    selector=selector,
    namespaceSelector=selector,
    operations=list_of(one_of("CREATE", "CONNECT", "UPDATE", "DELETE")),
)
_filter: dict[str, Check] = {
    "resources": resources,
    "roles": texts,
    "clusterRoles": texts,
    "subjects": list_of(record(("kind", "name"), kind=text, apiGroup=text, name=text, namespace=text)),
}
match = record(any=list_of(record(**_filter)), all=list_of(record(**_filter)), **_filter)

context = list_of(
    record(
        ("name",),
        name=text,
        variable=record(value=anything, jmesPath=text, default=anything),
        configMap=record(("name",), name=text, namespace=text),
        apiCall=record(
            urlPath=text,
            method=one_of("GET", "POST"),
            data=list_of(record(("key", "value"), key=text, value=anything)),
            service=record(("url",), url=text, caBundle=text, headers=list_of(record(("key", "value"), key=text, value=text))),
            jmesPath=text,
            default=anything,
        ),
        globalReference=record(("name",), name=text, jmesPath=text),
        imageRegistry=record(("reference",), reference=text, jmesPath=text, imageRegistryCredentials=credentials),
    )
)
cel_conditions = list_of(record(("expression", "name"), name=text, expression=text))

_foreach: dict[str, Check] = {"list": text, "context": context, "preconditions": anything}
validate_foreach: Check = list_of(
    record(
        elementScope=boolean,
        pattern=anything,
        anyPattern=anything,
        deny=record(conditions=anything),
        foreach=nested(lambda: validate_foreach),
        **_foreach,
    )
)
mutate_foreach: Check = list_of(
    record(
        order=one_of("Ascending", "Descending"),
        patchStrategicMerge=anything,
        patchesJson6902=text,
        foreach=nested(lambda: mutate_foreach),
        **_foreach,
    )
)

_rekor = record(url=text, pubkey=text, ignoreTlog=boolean)
_ctlog = record(ignoreSCT=boolean, pubkey=text, tsaCertChain=text)
attestors: Check = list_of(
    record(
        count=integer,
        entries=list_of(
            record(
                annotations=text_map,
                attestor=nested(lambda: attestor),
                repository=text,
                certificates=record(cert=text, certChain=text, ctlog=_ctlog, rekor=_rekor),
                keyless=record(
                    additionalExtensions=text_map,
                    ctlog=_ctlog,
                    rekor=_rekor,
                    issuer=text,
                    issuerRegExp=text,
                    roots=text,
                    subject=text,
                    subjectRegExp=text,
                ),
                keys=record(
                    publicKeys=text,
                    kms=text,
                    signatureAlgorithm=text,
                    ctlog=_ctlog,
                    rekor=_rekor,
                    secret=record(("name", "namespace"), name=text, namespace=text),
                ),
            )
        ),
    )
)


def attestor(value: Any, path: str) -> None:
    """A nested attestor set stands alone or in a list."""
    attestors(value if isinstance(value, list) else [value], path)


exclusions = list_of(
    record(
        ("controlName",),
        controlName=one_of(
            "HostProcess",
            "Host Namespaces",
            "Privileged Containers",
            "Capabilities",
            "HostPath Volumes",
            "Host Ports",
            "AppArmor",
            "SELinux",
            "/proc Mount Type",
            "Seccomp",
            "Sysctls",
            "Volume Types",
            "Privilege Escalation",
            "Running as Non-root",
            "Running as Non-root user",
        ),
        images=texts,
        restrictedField=text,
        values=texts,
    )
)
pod_security = record(
    level=one_of("privileged", "baseline", "restricted"),
    version=one_of(*(f"v1.{minor}" for minor in range(19, 33)), "latest"),
    exclude=exclusions,
)
cel = record(
    generate=boolean,
    expressions=list_of(record(("expression",), expression=text, message=text, messageExpression=text, reason=text)),
    variables=list_of(record(("expression", "name"), name=text, expression=text)),
    auditAnnotations=list_of(record(("key", "valueExpression"), key=text, valueExpression=text)),
    paramKind=record(apiVersion=text, kind=text),
    paramRef=record(name=text, namespace=text, parameterNotFoundAction=text, selector=selector),
)
_deny = record(conditions=anything)
validate = record(
    message=text,
    failureAction=one_of("Audit", "Enforce"),
    failureActionOverrides=overrides,
    allowExistingViolations=boolean,
    pattern=anything,
    anyPattern=anything,
    deny=_deny,
    foreach=validate_foreach,
    podSecurity=pod_security,
    cel=cel,
    manifests=mapping,
    **{"assert": anything},
)
mutate = record(
    mutateExistingOnPolicyUpdate=boolean,
    patchStrategicMerge=anything,
    patchesJson6902=text,
    foreach=mutate_foreach,
    targets=list_of(
        record(
            apiVersion=text,
            kind=text,
            name=text,
            namespace=text,
            uid=text,
            selector=selector,
            context=context,
            preconditions=anything,
        )
    ),
)
_generated: dict[str, Check] = {
    "apiVersion": text,
    "kind": text,
    "name": text,
    "namespace": text,
    "uid": text,
    "data": anything,
    "clone": record(name=text, namespace=text),
    "cloneList": record(namespace=text, kinds=texts, selector=selector),
}
generate = record(
    generateExisting=boolean,
    synchronize=boolean,
    orphanDownstreamOnPolicyDelete=boolean,
    foreach=list_of(record(**_foreach, **_generated)),
    **_generated,
)
verify_images = list_of(
    record(
        additionalExtensions=text_map,
        annotations=text_map,
        attestations=list_of(record(attestors=attestors, conditions=anything, name=text, predicateType=text, type=text)),
        attestors=attestors,
        cosignOCI11=boolean,
        failureAction=one_of("Audit", "Enforce"),
        image=text,
        imageReferences=texts,
        imageRegistryCredentials=credentials,
        issuer=text,
        key=text,
        mutateDigest=boolean,
        repository=text,
        required=boolean,
        roots=text,
        skipImageReferences=texts,
        subject=text,
        type=one_of("Cosign", "SigstoreBundle", "Notary"),
        useCache=boolean,
        validate=record(message=text, deny=_deny),
        verifyDigest=boolean,
    )
)
rule = record(
    ("name",),
    name=text,
    context=context,
    match=match,
    exclude=match,
    preconditions=anything,
    celPreconditions=cel_conditions,
    imageExtractors=map_of(list_of(record(("path",), path=text, value=text, name=text, key=text, jmesPath=text))),
    reportProperties=text_map,
    skipBackgroundRequests=boolean,
    validate=validate,
    mutate=mutate,
    generate=generate,
    verifyImages=verify_images,
)
spec = record(
    ("rules",),
    rules=list_of(rule),
    admission=boolean,
    applyRules=one_of("All", "One"),
    background=boolean,
    emitWarning=boolean,
    failurePolicy=failure_policy,
    generateExisting=boolean,
    generateExistingOnPolicyUpdate=boolean,
    mutateExistingOnPolicyUpdate=boolean,
    schemaValidation=boolean,
    useServerSideApply=boolean,
    validationFailureAction=action,
    validationFailureActionOverrides=overrides,
    webhookTimeoutSeconds=integer,
    webhookConfiguration=record(failurePolicy=failure_policy, timeoutSeconds=integer, matchConditions=cel_conditions),
)


def check_fields(document: Mapping[str, Any]) -> None:
    """Raises `InvalidPolicy` for the first unknown field, wrong type or unsupported value of a policy document."""
    check_document(document, spec)
