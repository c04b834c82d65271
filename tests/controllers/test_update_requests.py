"""UpdateRequests: which ones an admission request gives cause for, and how they are kept."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.admission.follow_up import updates_of
from controllers.cluster.events import Reference
from controllers.cluster.update_requests import Item, UpdateRequest, content, kept, merged, read
from engine import PolicySet, Request, User, compile_exception, compile_policy
from engine.request import GroupVersionKind, GroupVersionResource

Document = dict[str, Any]
ACCOUNT = "system:serviceaccount:kyverno:kyverno-background-controller"
DATA = {"apiVersion": "v1", "kind": "Secret", "name": "made", "namespace": "{{request.object.metadata.namespace}}", "data": {}}


def policy(body: Document, *, name: str = "p", rule: Document | None = None, operations: list[str] | None = None) -> Any:
    resources = {"kinds": ["ConfigMap"], **({"operations": operations} if operations else {})}
    match = {"any": [{"resources": resources}]}
    document = {"name": "r", "match": match, **body, **(rule or {})}
    return compile_policy(
        {
            "apiVersion": "kyverno.io/v1",
            "kind": "ClusterPolicy",
            "metadata": {"name": name, "uid": "policy-uid"},
            "spec": {"background": False, "rules": [document]},
        }
    )


def generating(*, synchronize: bool = True, **more: Any) -> Any:
    return policy({"generate": {**DATA, "synchronize": synchronize}}, **more)


MUTATING = {
    "mutate": {
        "targets": [{"apiVersion": "v1", "kind": "Secret", "name": "s", "namespace": "blue"}],
        "patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}},
    }
}


def config_map(labels: Document | None = None, **metadata: Any) -> Document:
    about = {"name": "c", "namespace": "blue", "uid": "c-uid", "resourceVersion": "1", "labels": labels or {}, **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about}


def request(
    operation: str = "CREATE", new: Document | None = None, old: Document | None = None, *, user: str = "alice", dry: bool = False
) -> Request:
    document = {
        "uid": "request-uid",
        "operation": operation,
        "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
        "resource": {"group": "", "version": "v1", "resource": "configmaps"},
        "userInfo": {"username": user},
        "object": new,
        "oldObject": old,
        "namespace": "blue",
        "name": "c",
    }
    subject = new or old or {}
    kind = GroupVersionKind("", "v1", subject.get("kind", "ConfigMap"))
    return Request(
        operation=operation,
        kind=kind,
        resource=GroupVersionResource("", "v1", "configmaps"),
        object=new,
        old_object=old,
        namespace="blue",
        name="c",
        user=User(user, cluster_roles=("view",)),
        dry_run=dry,
        document=document,
    )


def updates(policies: list[Any], asked: Request) -> tuple[UpdateRequest, ...]:
    found, errors, _ = updates_of(PolicySet(policies), asked, among=lambda policy: True, account=ACCOUNT)
    assert not errors
    return found


def test_a_trigger_is_kept_with_who_asked() -> None:
    (found,) = updates([generating()], request(new=config_map()))
    assert (found.type, found.cause, found.policy, found.operation) == ("generate", "trigger", "p", "CREATE")
    assert found.items == (Item("r", Reference("v1", "ConfigMap", "c", "blue", "c-uid"), synchronize=True),)
    assert found.admission is not None
    assert found.admission["userInfo"] == {"username": "alice"}
    assert found.cluster_roles == ("view",)


def test_a_stored_request_is_what_it_was() -> None:
    (found,) = updates([generating()], request("UPDATE", config_map({"a": "b"}), config_map()))
    document = found.document("kyverno")
    document["metadata"]["resourceVersion"] = "9"
    again = read(document)
    assert (again.items, again.admission, again.changes) == (found.items, found.admission, "1")
    assert again.name == found.name == document["metadata"]["name"]
    assert again.stored.version == "9"


def test_labels_are_those_of_kyverno() -> None:
    (generate,) = updates([generating()], request(new=config_map()))
    assert generate.document("kyverno")["metadata"]["labels"] == {"generate.kyverno.io/policy-name": "p"}
    (mutate,) = updates([policy(MUTATING)], request(new=config_map()))
    assert mutate.document("kyverno")["metadata"]["labels"] == {
        "mutate.updaterequest.kyverno.io/policy-name": "p",
        "mutate.updaterequest.kyverno.io/trigger-name": "c",
        "mutate.updaterequest.kyverno.io/trigger-namespace": "blue",
        "mutate.updaterequest.kyverno.io/trigger-kind": "ConfigMap",
        "mutate.updaterequest.kyverno.io/trigger-apiversion": "v1",
    }


def test_the_same_work_has_the_same_name() -> None:
    (one,) = updates([generating()], request("UPDATE", config_map(), config_map()))
    (two,) = updates([generating()], request("UPDATE", config_map({"later": "yes"}), config_map()))
    (other,) = updates([generating()], request("UPDATE", config_map(uid="d"), config_map(uid="d")))
    assert one.name == two.name != other.name
    assert merged(one, two).changes == "1"


def test_rules_that_only_the_earlier_request_names_are_not_forgotten() -> None:
    (one,) = updates([generating()], request(new=config_map()))
    other = UpdateRequest(one.type, one.cause, one.policy, (Item("other"),), one.about, one.operation, one.admission)
    assert [item.rule for item in merged(other, one).items] == ["other", "r"]


def test_dry_runs_leave_nothing_to_do() -> None:
    assert updates([generating(), policy(MUTATING, name="m")], request(new=config_map(), dry=True)) == ()


def test_own_requests_start_only_rules_that_say_so() -> None:
    own = request(new=config_map(), user=ACCOUNT)
    assert updates([generating(), policy(MUTATING, name="m")], own) == ()
    assert len(updates([generating(rule={"skipBackgroundRequests": False})], own)) == 1


def test_preconditions_are_asked_before_anything_is_queued() -> None:
    unmet = {"preconditions": {"all": [{"key": "{{request.operation}}", "operator": "Equals", "value": "UPDATE"}]}}
    assert updates([generating(rule=unmet), policy(MUTATING, name="m", rule=unmet)], request(new=config_map())) == ()


def test_an_unanswered_lookup_is_left_to_the_background() -> None:
    context = {"context": [{"name": "x", "configMap": {"name": "a", "namespace": "b"}}]}
    asks = {"all": [{"key": "{{x.data.y}}", "operator": "Equals", "value": "1"}]}
    assert len(updates([generating(rule={**context, "preconditions": asks})], request(new=config_map()))) == 1


def test_a_deleted_trigger_takes_its_downstreams_along_when_the_rule_is_synchronized() -> None:
    gone = request("DELETE", None, config_map())
    (found,) = updates([generating()], gone)
    assert [item.delete for item in found.items] == [True]
    assert updates([generating(synchronize=False)], gone) == ()


def test_a_rule_for_deletions_generates_on_them() -> None:
    (found,) = updates([generating(operations=["DELETE"])], request("DELETE", None, config_map()))
    assert [item.delete for item in found.items] == [False]
    assert found.admission is not None
    assert found.admission["oldObject"]["metadata"]["name"] == "c"


def test_a_trigger_that_stops_matching_is_looked_at_again() -> None:
    wants = {
        "preconditions": {"all": [{"key": "{{request.object.metadata.labels.a || ''}}", "operator": "Equals", "value": "b"}]}
    }
    left = request("UPDATE", config_map(), config_map({"a": "b"}))
    assert len(updates([generating(rule=wants)], left)) == 1
    assert updates([generating(rule=wants, synchronize=False)], left) == ()
    assert updates([generating(rule=wants)], request("UPDATE", config_map(), config_map())) == ()


def test_an_object_does_not_match_by_what_it_was_before() -> None:
    labelled = {"any": [{"resources": {"kinds": ["ConfigMap"], "selector": {"matchLabels": {"a": "b"}}}}]}
    left = request("UPDATE", config_map(), config_map({"a": "b"}))
    assert updates([policy(MUTATING, rule={"match": labelled})], left) == ()
    (found,) = updates([generating(rule={"match": labelled})], left)
    assert found.items[0].synchronize


DOWNSTREAM = {
    "app.kubernetes.io/managed-by": "kyverno",
    "generate.kyverno.io/policy-name": "p",
    "generate.kyverno.io/policy-namespace": "",
    "generate.kyverno.io/rule-name": "r",
    "generate.kyverno.io/trigger-uid": "t",
    "generate.kyverno.io/trigger-kind": "ConfigMap",
    "generate.kyverno.io/trigger-version": "v1",
    "generate.kyverno.io/trigger-group": "",
    "generate.kyverno.io/trigger-namespace": "blue",
}


def secret(labels: Document) -> Document:
    return {**config_map(labels), "kind": "Secret"}


def test_an_edited_downstream_of_a_synchronized_rule_is_looked_at_again() -> None:
    edited = request("UPDATE", secret({}), secret(DOWNSTREAM))
    (found,) = updates([generating()], edited)
    assert (found.cause, found.about.kind, found.admission) == ("downstream", "Secret", None)
    assert found.items[0].trigger == Reference("v1", "ConfigMap", "", "blue", "t")
    assert updates([generating(synchronize=False)], edited) == ()
    assert updates([generating()], request("UPDATE", secret({}), secret(DOWNSTREAM), user=ACCOUNT)) == ()


def test_what_nobody_could_render_again_is_kept_to_be_put_back() -> None:
    asker = {"metadata": {"annotations": {"by": "{{request.userInfo.username}}"}}}
    named = {**DATA, "synchronize": True, "data": asker}
    (found,) = updates([policy({"generate": named})], request("DELETE", None, secret(DOWNSTREAM)))
    assert found.items[0].restore
    assert found.admission is not None
    assert found.admission["oldObject"]["kind"] == "Secret"


def test_a_namespace_that_is_emptied_is_left_alone() -> None:
    sweep = request("DELETE", None, secret(DOWNSTREAM), user="system:serviceaccount:kube-system:namespace-controller")
    assert updates([generating()], sweep) == ()


def test_a_changed_source_concerns_the_rules_that_copy_it() -> None:
    clone = {**DATA, "synchronize": True, "clone": {"namespace": "blue", "name": "c"}}
    del clone["data"]
    marked = secret({"generate.kyverno.io/clone-source": ""})
    (found,) = updates([policy({"generate": clone})], request("UPDATE", marked, marked))
    assert (found.cause, found.items) == ("source", (Item("r", None, synchronize=True),))
    elsewhere = {**clone, "clone": {"namespace": "red", "name": "c"}}
    assert updates([policy({"generate": elsewhere})], request("UPDATE", marked, marked)) == ()
    assert len(updates([policy({"generate": clone})], request("UPDATE", marked, marked, user=ACCOUNT))) == 1, "a copy of a copy"
    assert updates([policy({"generate": clone})], request("UPDATE", marked, secret({}), user=ACCOUNT)) == (), "it was marked"


def test_what_is_kept_of_a_request_leaves_out_what_is_read_again() -> None:
    asked = request("UPDATE", config_map(managedFields=[{}]), config_map(managedFields=[{}])).document
    assert "object" not in kept(asked)
    assert "managedFields" not in kept(asked)["oldObject"]["metadata"]
    assert "object" in kept({**asked, "operation": "CONNECT"})


@pytest.mark.parametrize(("labels", "count"), [({"copy": "me"}, 1), ({}, 0), ({"copy": "not"}, 0)])
def test_an_object_that_a_clone_list_selects_is_a_new_source(labels: Document, count: int) -> None:
    listed = {"namespace": "blue", "kinds": ["v1/Secret"], "selector": {"matchLabels": {"copy": "me"}}}
    rule = {"namespace": "{{request.object.metadata.name}}", "synchronize": True, "cloneList": listed}
    copying = policy({"generate": rule})
    found = updates([copying], request("CREATE", secret(labels)))
    assert [(one.cause, one.operation) for one in found] == [("source", "CREATE")] * count
    found = updates([copying], request("UPDATE", secret(labels), secret({})))
    assert [one.changes for one in found] == ["1"] * count if labels else not found
    assert updates([copying], request("CREATE", secret(labels), user=ACCOUNT)) == ()


def test_a_source_that_a_rule_names_is_missed_until_it_comes() -> None:
    clone = {"apiVersion": "v1", "kind": "Secret", "name": "made", "namespace": "red", "synchronize": True}
    wanted = policy({"generate": {**clone, "clone": {"namespace": "blue", "name": "c"}}})
    assert [one.cause for one in updates([wanted], request("CREATE", secret({})))] == ["source"]
    other = policy({"generate": {**clone, "clone": {"namespace": "blue", "name": "other"}}})
    assert updates([other], request("CREATE", secret({}))) == ()


def test_what_an_exception_exempts_leaves_nothing_to_do_and_is_told() -> None:
    policy, asked = generating(), request(new=config_map())
    exempting = compile_exception(
        {
            "apiVersion": "kyverno.io/v2",
            "kind": "PolicyException",
            "metadata": {"name": "e", "namespace": "blue"},
            "spec": {
                "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]},
                "exceptions": [{"policyName": "p", "ruleNames": ["r"]}],
            },
        }
    )
    left = updates_of(PolicySet([policy], [exempting]), asked, among=lambda policy: True, account=ACCOUNT)
    assert (left.updates, left.errors) == ((), ())
    assert [(one.rule.name, one.exceptions[0].key) for one in left.exempted] == [("r", "blue/e")]


def test_a_request_that_was_made_again_is_another_one() -> None:
    (one,) = updates([generating()], request(new=config_map()))
    stored = one.document("kyverno")
    first, second = ({**stored, "metadata": {**stored["metadata"], "uid": uid, "generation": 1}} for uid in ("1", "2"))
    assert content(first) != content(second)
    assert content(first) == content({**first, "status": {"state": "Failed"}})
