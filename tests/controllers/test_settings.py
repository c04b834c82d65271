"""The ConfigMap: what is read, what is nonsense, what then holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controllers.cluster.settings import Settings, default_settings, read

DEFAULTS = default_settings("kyverno")


def test_without_a_config_map_system_namespaces_are_exempt() -> None:
    expressions = DEFAULTS.webhooks.namespace_selector["matchExpressions"]
    assert [(e["operator"], e["values"]) for e in expressions] == [("NotIn", ["kube-system"]), ("NotIn", ["kyverno"])]


def test_every_key_is_read() -> None:
    data = {
        "resourceFilters": "[Event,*,*]",
        "excludeGroups": "a, b",
        "generateSuccessEvents": "true",
        "updateRequestThreshold": "5",
        "maxContextSize": "3Mi",
        "webhooks": '{"namespaceSelector":{"matchLabels":{"a":"b"}}}',
        "webhookAnnotations": '{"x":"y"}',
        "matchConditions": '[{"name":"n","expression":"true"}]',
    }
    settings, faults = read(data, last=DEFAULTS, defaults=DEFAULTS)
    assert faults == ()
    assert (settings.resource_filters, settings.exclude_groups) == ("[Event,*,*]", "a, b")
    assert (settings.generate_success_events, settings.update_request_threshold) == (True, 5)
    assert settings.max_context_size == 3 * 1024 * 1024
    assert settings.webhooks.namespace_selector == {"matchLabels": {"a": "b"}}
    assert settings.webhooks.object_selector == {}
    assert settings.webhooks.annotations == {"x": "y"}
    assert settings.webhooks.match_conditions == ({"name": "n", "expression": "true"},)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("generateSuccessEvents", "perhaps"),
        ("updateRequestThreshold", "many"),
        ("maxContextSize", "big"),
        ("updateRequestThreshold", "²"),
        ("updateRequestThreshold", "9" * 5000),
        ("maxContextSize", "²Ki"),
        ("resourceFilters", "everything"),
        ("webhooks", "{"),
        ("webhooks", '{"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"Near"}]}}'),
        ("webhooks", '{"namespaceSelector":{"matchExpressions":[{"key":"a","operator":"In"}]}}'),
        ("webhooks", '{"namespaceSelector":7}'),
        ("webhookAnnotations", "[]"),
        ("webhookLabels", '{"a":1}'),
        ("matchConditions", '[{"name":"n"}]'),
    ],
)
def test_nonsense_is_named_and_the_last_good_value_stays(key: str, value: str) -> None:
    last = replace(DEFAULTS, generate_success_events=True, update_request_threshold=9, resource_filters="[Pod]")
    settings, (fault,) = read({"resourceFilters": "[Pod]", key: value}, last=last, defaults=DEFAULTS)
    assert fault.key == key
    assert settings.webhooks == last.webhooks
    assert settings.resource_filters == "[Pod]"
    field = {"generateSuccessEvents": "generate_success_events", "updateRequestThreshold": "update_request_threshold"}.get(key)
    if field:
        assert getattr(settings, field) == getattr(last, field)


def test_a_removed_key_falls_back_to_its_default() -> None:
    last = replace(DEFAULTS, generate_success_events=True)
    settings, _ = read({}, last=last, defaults=DEFAULTS)
    assert settings == DEFAULTS
    assert isinstance(settings, Settings)
