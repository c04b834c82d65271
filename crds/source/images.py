"""verifyImages, and the attestors that validate.manifests shares with it (spec 2.9)."""

from crds.source.conditions import any_all
from crds.source.context import registry_credentials
from crds.source.shapes import Schema, any_json, array, boolean, integer, record, string, string_map, strings

FAILURE_ACTIONS = ("Audit", "Enforce")


def attestors(text: str) -> Schema:
    """Sets of attestors; each set has to be satisfied."""
    entry = record(
        {
            "keys": _keys(),
            "certificates": record(
                {
                    "cert": string("PEM certificate."),
                    "certChain": string("PEM chain the certificate is checked against."),
                    "rekor": _rekor(),
                    "ctlog": _ctlog(),
                },
                "A certificate.",
            ),
            "keyless": record(
                {
                    "issuer": string("Issuer of the signer's certificate."),
                    "issuerRegExp": string("Regular expression for the issuer."),
                    "subject": string("Subject of the signer's certificate."),
                    "subjectRegExp": string("Regular expression for the subject."),
                    "roots": string("PEM root certificates, instead of the public ones."),
                    "additionalExtensions": string_map("Certificate extensions that are required."),
                    "rekor": _rekor(),
                    "ctlog": _ctlog(),
                },
                "An identity that signs without a key of its own.",
            ),
            "attestor": any_json("A nested set of attestors."),
            "annotations": string_map("Annotations that the signed payload has."),
            "repository": string("Where the signatures are, when not beside the image."),
        }
    )
    attestor_set = record(
        {
            "count": integer("How many entries have to match; all when unset.", minimum=1),
            "entries": array(entry, "Attestors of the set."),
        }
    )
    return array(attestor_set, text)


def verify_images(*, deprecated_fields: bool) -> Schema:
    """List of image verifications; kyverno.io/v1 also has the single key or keyless identity that came before attestors."""
    old: dict[str, Schema] = {
        "image": string("Deprecated: use imageReferences."),
        "key": string("Deprecated: use attestors."),
        "roots": string("Deprecated: use attestors."),
        "subject": string("Deprecated: use attestors."),
        "issuer": string("Deprecated: use attestors."),
        "additionalExtensions": string_map("Deprecated: use attestors."),
        "annotations": string_map("Deprecated: use annotations of the attestor."),
    }
    attestation = record(
        {
            "name": string("Name under which conditions elsewhere may read it."),
            "type": string("Type of the attestation."),
            "predicateType": string("Deprecated: use type."),
            "attestors": attestors("Who signed the attestation."),
            "conditions": array(any_all("Conditions on the predicate."), "Sets of conditions which all hold."),
        }
    )
    fields: dict[str, Schema] = {
        "type": string("Kind of signature; Cosign when unset.", enum=("Cosign", "SigstoreBundle", "Notary")),
        "imageReferences": strings("Images that are verified; wildcards are allowed."),
        "skipImageReferences": strings("Images that are left out; wildcards are allowed."),
        "failureAction": string("What a failure means.", enum=FAILURE_ACTIONS),
        "attestors": attestors("Who signed the image."),
        "attestations": array(attestation, "Signed statements about the image."),
        "repository": string("Where the signatures are, when not beside the image."),
        "cosignOCI11": boolean("Look signatures up through the OCI 1.1 referrers API."),
        "mutateDigest": boolean("Replace the tag by the digest.", default=True),
        "verifyDigest": boolean("Refuse images without a digest.", default=True),
        "required": boolean("Refuse images that were not verified.", default=True),
        "useCache": boolean("Reuse earlier verifications.", default=True),
        "imageRegistryCredentials": registry_credentials(),
        "validate": record(
            {
                "message": string("Shown when the conditions hold."),
                "deny": record(
                    {"conditions": any_json("Conditions over the attestations.")}, "Refuses the image when its conditions hold."
                ),
            },
            "A check over all named attestations.",
        ),
    }
    return array(record(fields | old if deprecated_fields else fields), "Verifies signatures and attestations of images.")


def _keys() -> Schema:
    return record(
        {
            "publicKeys": string("PEM keys, a k8s://namespace/secret reference or the URI of a key service."),
            "kms": string("URI of a key service."),
            "secret": record(
                {"name": string("Name of the Secret."), "namespace": string("Namespace of the Secret.")},
                "Secret whose cosign.pub is the key.",
                required=("name", "namespace"),
            ),
            "signatureAlgorithm": string("sha224, sha256, sha384 or sha512.", default="sha256"),
            "rekor": _rekor(),
            "ctlog": _ctlog(),
        },
        "Public keys.",
    )


def _rekor() -> Schema:
    return record(
        {
            "url": string("Address of the log; the public one when unset."),
            "pubkey": string("PEM key of the log."),
            "ignoreTlog": boolean("Do not ask for an entry in the log."),
        },
        "Transparency log of signatures.",
    )


def _ctlog() -> Schema:
    return record(
        {
            "pubkey": string("PEM key of the log."),
            "tsaCertChain": string("PEM chain of the timestamp authority."),
            "ignoreSCT": boolean("Do not ask for a certificate timestamp."),
        },
        "Transparency log of certificates.",
    )
