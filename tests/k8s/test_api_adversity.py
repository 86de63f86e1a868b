"""An API server in trouble: what may be repeated is, what may not is not, and every failure says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drill.core.errors import UsageError
from drill.target.kubernetes import api as api_module
from drill.target.kubernetes.access import Access
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import ApiFailed, Busy, Clash, Forbidden, LoginFailed, NotThere, Unreachable
from drill.target.kubernetes.objects import Pod, Thing
from k8s.api_server import Answer, Server, cut, hang_up, kubeconfig, ok, serving, silence, status

THING = {"metadata": {"name": "web", "labels": None}}


@contextmanager
def asking(folder: Path, *script: Answer, patience_s: float = 5.0) -> Iterator[tuple[Api, Server]]:
    with serving(*script) as server:
        api = Api(Access("there", kubeconfig(folder, server.url)), patience_s=patience_s)
        yield api, server
        api.close()


@pytest.mark.parametrize(
    "trouble", [status(500), status(503), status(429), cut, hang_up], ids=["500", "503", "429", "cut", "closed"]
)
def test_a_read_is_tried_again_until_it_succeeds(tmp_path: Path, trouble: Answer):
    with asking(tmp_path, trouble, trouble, ok(THING)) as (api, server):
        assert api.get("/x", Thing).name == "web"
        assert server.asked == ["GET /x"] * 3


@pytest.mark.parametrize("trouble", [status(500), cut, hang_up], ids=["500", "cut", "closed"])
def test_a_creation_that_may_have_been_done_is_not_repeated(tmp_path: Path, trouble: Answer):
    with asking(tmp_path, trouble, ok(THING)) as (api, server):
        with pytest.raises(ApiFailed):
            api.create("/x", {"kind": "Thing"})
        assert server.asked == ["POST /x"]


def test_a_creation_the_server_put_off_is_repeated(tmp_path: Path):
    with asking(tmp_path, status(429, headers={"Retry-After": "0.1"}), status(503), ok(THING)) as (api, server):
        assert api.create("/x", {})["metadata"]["name"] == "web"
        assert server.asked == ["POST /x"] * 3


@pytest.mark.parametrize("trouble", [status(500), cut, hang_up], ids=["500", "cut", "closed"])
def test_a_patch_states_the_end_and_may_be_done_twice(tmp_path: Path, trouble: Answer):
    """The undo of a scale is such a patch: it goes through as soon as the server is back."""
    with asking(tmp_path, trouble, ok(THING)) as (api, server):
        api.patch("/x", {"spec": {"replicas": 3}})
        assert server.asked == ["PATCH /x"] * 2


def test_retry_after_is_honoured(tmp_path: Path):
    waited: list[float] = []
    with asking(tmp_path, status(429, headers={"Retry-After": "1"}), ok(THING)) as (api, _):
        before = api_module.time.sleep
        api_module.time.sleep = waited.append  # type: ignore[assignment]
        try:
            api.get("/x", Thing)
        finally:
            api_module.time.sleep = before  # type: ignore[assignment]
    assert max(waited) >= 1


def test_patience_ends(tmp_path: Path):
    with asking(tmp_path, status(500, "etcd is away"), patience_s=0.5) as (api, server):
        with pytest.raises(ApiFailed, match="etcd is away"):
            api.get("/x", Thing)
        assert len(server.asked) > 1


def test_a_server_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(api_module, "READ_S", 0.3)
    with (
        asking(tmp_path, silence, patience_s=0.4) as (api, _),
        pytest.raises(Unreachable, match="did not answer in time") as caught,
    ):
        api.get("/x", Thing)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (401, LoginFailed, "does not accept the credentials"),
        (403, Forbidden, "there: pods is forbidden"),
        (404, NotThere, "pods is forbidden"),
        (409, Clash, "pods is forbidden"),
    ],
)
def test_a_refusal_is_said_at_once_and_names_what_to_do(
    tmp_path: Path, code: int, kind: type[ApiFailed], said: str
):
    with asking(tmp_path, status(code, "pods is forbidden")) as (api, server):
        with pytest.raises(kind, match=said) as caught:
            api.get("/x", Thing)
        assert len(server.asked) == 1
        assert caught.value.status == code
    if code == 401:
        assert "log in again" in caught.value.hint
    if code == 403:
        assert "drill k8s doctor --context there" in caught.value.hint


def test_a_budget_that_forbids_an_eviction_is_left_to_the_caller(tmp_path: Path):
    with asking(tmp_path, status(429, "Cannot evict pod")) as (api, server):
        with pytest.raises(Busy, match="Cannot evict pod"):
            api.raw("POST", "/x/eviction", {}, again=False, patience_s=0)
        assert len(server.asked) == 1


def test_nobody_listens(tmp_path: Path):
    with serving(ok({})) as server:
        url = server.url
    api = Api(Access("there", kubeconfig(tmp_path, url)), patience_s=0.3)
    with pytest.raises(Unreachable, match="refuses connections") as caught:
        api.get("/x", Thing)
    assert "is it running" in caught.value.hint


def test_https_to_a_server_without_tls_is_named(tmp_path: Path):
    with serving(ok({})) as server:
        api = Api(Access("there", kubeconfig(tmp_path, server.url.replace("http:", "https:"))), patience_s=0.2)
        with pytest.raises(Unreachable, match=r"TLS|closed"):
            api.get("/x", Thing)


def test_an_answer_that_is_no_object_is_named(tmp_path: Path):
    with asking(tmp_path, ok(["no object"])) as (api, _), pytest.raises(ApiFailed, match="cannot be read"):
        api.get("/x", Thing)


def test_no_error_shows_the_token(tmp_path: Path):
    said = []
    for trouble in (status(403, "token planted-token-4711 bearer: Bearer planted-token-4711"), cut, hang_up):
        with asking(tmp_path, trouble, patience_s=0.2) as (api, _):
            with pytest.raises(ApiFailed) as caught:
                api.get("/x", Thing)
            said.append(f"{caught.value} {caught.value.hint} {caught.value!r}")
    assert "Bearer planted-token-4711" not in " ".join(said)


def test_lists_are_read_page_by_page(tmp_path: Path):
    first = {"metadata": {"continue": "more", "resourceVersion": "7"}, "items": [{"metadata": {"name": "a"}}]}
    second = {"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]}
    with asking(tmp_path, ok(first), ok(second)) as (api, server):
        assert [pod.name for pod in api.list("/pods", Pod).items] == ["a", "b"]
        assert "continue=more" in server.asked[1]


def test_every_call_is_counted(tmp_path: Path):
    with asking(tmp_path, status(500), ok(THING)) as (api, _):
        api.get("/x", Thing)
        assert api.calls == 2


def test_an_unknown_context_is_refused_with_those_there_are(tmp_path: Path):
    path = kubeconfig(tmp_path, "http://127.0.0.1:9", ("kind-drill", "prod"))
    with pytest.raises(UsageError, match="no context 'kind-dril' in") as caught:
        Api(Access("kind-dril", path))
    assert "kind-drill" in caught.value.hint


def test_the_current_context_is_never_used(tmp_path: Path):
    path = kubeconfig(tmp_path, "http://127.0.0.1:9", ("elsewhere",))
    with pytest.raises(UsageError, match="no context ''"):
        Api(Access("", path))


def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path):
    path = tmp_path / "kubeconfig"
    path.write_text("{")
    with pytest.raises(UsageError, match="no context 'there'"):
        Api(Access("there", str(path)))
