"""Context entries: named data that rules may read (spec 2.10)."""

from crds.source.shapes import Schema, any_json, array, boolean, integer, one_of, record, string, strings

CREDENTIAL_PROVIDERS = ("default", "amazon", "azure", "google", "github")


def context(text: str = "Named data that expressions may read; loaded when first read.") -> Schema:
    """List of context entries, each with exactly one source."""
    entry = record(
        {
            "name": string("Name of the variable."),
            "variable": record(
                {
                    "value": any_json("Any value, with variables."),
                    "jmesPath": string("Applied to the value, or to the context when there is no value."),
                    "default": any_json("Used when the result is null."),
                },
                "A value defined here.",
            ),
            "configMap": record(
                {"name": string("Name of the ConfigMap."), "namespace": string("Namespace of the ConfigMap.")},
                "A ConfigMap.",
                required=("name",),
            ),
            "apiCall": record(
                _call()
                | {
                    "jmesPath": string("Applied to the answer."),
                    "default": any_json("Used when the call fails or the result is null."),
                },
                "The answer of the API server or of a JSON web service.",
            ),
            "globalReference": record(
                {"name": string("Name of the entry, or entry.projection."), "jmesPath": string("Applied to the entry's data.")},
                "Data of a GlobalContextEntry.",
                required=("name",),
            ),
            "imageRegistry": record(
                {
                    "reference": string("Image reference."),
                    "jmesPath": string("Applied to the image's data."),
                    "imageRegistryCredentials": registry_credentials(),
                },
                "Metadata of an image, read from its registry.",
                required=("reference",),
            ),
        },
        required=("name",),
        oneOf=one_of("configMap", "apiCall", "imageRegistry", "variable", "globalReference"),
    )
    return array(entry, text)


def global_call(text: str) -> Schema:
    """An API call that is repeated to keep a GlobalContextEntry fresh; only a POST has data."""
    return record(
        _call()
        | {
            "refreshInterval": string("Time between calls.", format="duration", default="10m"),
            "retryLimit": integer("Attempts after a failed call.", default=3, minimum=0),
        },
        text,
        oneOf=one_of("service", "urlPath"),
        anyOf=[{"properties": {"method": {"enum": ["POST"]}}}, {"not": {"required": ["data"]}}],
    )


def registry_credentials() -> Schema:
    """How to log in to an image registry."""
    return record(
        {
            "allowInsecureRegistry": boolean("Accept HTTP and unknown certificates."),
            "providers": array(string(enum=CREDENTIAL_PROVIDERS), "Credential helpers to ask."),
            "secrets": strings("Names of pull secrets in the controller's namespace."),
        },
        "How to log in to the registry.",
    )


def _call() -> dict[str, Schema]:
    pair = record({"key": string("Name of the field."), "value": any_json("Value of the field.")}, required=("key", "value"))
    header = record({"key": string("Name of the header."), "value": string("Value of the header.")}, required=("key", "value"))
    return {
        "urlPath": string("Path on the API server, as for kubectl get --raw."),
        "method": string("HTTP method.", enum=("GET", "POST"), default="GET"),
        "data": array(pair, "Body of a POST, as fields of one JSON object."),
        "service": record(
            {
                "url": string("Address of the service."),
                "caBundle": string("PEM certificates that the service's certificate is checked against."),
                "headers": array(header, "Headers to send."),
            },
            "A JSON web service, instead of urlPath.",
            required=("url",),
        ),
    }
