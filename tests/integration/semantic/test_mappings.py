"""Fields of type `semantic_text`, declared on an Elasticsearch that knows none."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from testbed.processes import Server
from tests.support.processes import Serve
from tests.support.semantic import Caller
from tests.support.semanticprovider import semantic_reply
from tests.support.stubs import FaultyServer, in_thread

MODEL: Final = {
    "service": "hugging_face",
    "task_type": "text_embedding",
    "dimensions": 16,
    "similarity": "cosine",
    "element_type": "float",
}
SHOWN_MODEL: Final = (
    "service=hugging_face, task_type=text_embedding, dimensions={}, similarity=cosine, "
    "element_type=float"
)
STORE: Final = {"HFPROXY_STORE_INDEX": "hugging-face-inference-endpoints-mappings"}


def semantic(inference_id: str = "map-embed", **more: Any) -> dict[str, Any]:
    return {"type": "semantic_text", "inference_id": inference_id, **more}


def of(**fields: Any) -> dict[str, Any]:
    return {"properties": fields}


@pytest.fixture(scope="module")
def start(serve_for_session: Serve, elasticsearch):
    """Starts proxies that share their endpoints."""

    def start(**env: str) -> Server:
        settings = {"HFPROXY_SEMANTIC_ENABLED": "true", **STORE, **env}
        return serve_for_session(upstream=elasticsearch.url, env=settings)

    return start


@pytest.fixture(scope="module")
def caller(start) -> Iterator[Caller]:
    with in_thread(FaultyServer(semantic_reply)) as stub:
        proxy = Caller(start().url)
        for inference_id, path in (
            ("map-embed", "/embed"),
            ("map-twin", "/embed"),
            ("map-eight", "/embed8"),
            ("map-large", "/embed384"),
        ):
            proxy.put_endpoint(inference_id, stub.url + path)
        proxy.put_endpoint("map-rerank", f"{stub.url}/rerank", "rerank")
        yield proxy


@pytest.fixture
def index(caller: Caller, elasticsearch) -> Iterator[str]:
    """The name of an index that is not there yet, and goes after the test."""
    yield "maps-a"
    names = ",".join(f"maps-{name}" for name in ("a", "b", "new", "l1", "000001", "000002"))
    Caller(elasticsearch.url).ask("DELETE", f"/{names}?ignore_unavailable=true")


def created(caller: Caller, index: str, mappings: Any) -> Any:
    caller.ask("PUT", f"/{index}", {"mappings": mappings})
    return caller.mapping(index)


class TestShown:
    """What users declared is what they see."""

    def test_every_parameter(self, caller: Caller, index: str):
        field = semantic(
            search_inference_id="map-twin",
            model_settings={k: v for k, v in MODEL.items() if k != "service"},
            chunking_settings={"strategy": "word", "max_chunk_size": 100, "overlap": 10},
            index_options={"dense_vector": {"type": "int8_hnsw", "m": 8}},
            meta={"unit": "page"},
            fields={"raw": {"type": "keyword"}},
            copy_to=["all"],
        )
        assert created(caller, index, of(body=field, all={"type": "text"}))["body"] == field

    def test_settings_are_shown_in_full_and_empty_ones_not_at_all(self, caller: Caller, index: str):
        shown = created(
            caller,
            index,
            of(
                a=semantic(chunking_settings={"strategy": "sentence", "max_chunk_size": 50}),
                b=semantic(chunking_settings={}, search_inference_id=None, model_settings=None),
            ),
        )
        full = {"strategy": "sentence", "max_chunk_size": 50, "sentence_overlap": 1}
        assert shown == {"a": semantic(chunking_settings=full), "b": semantic()}

    def test_wherever_it_stands(self, caller: Caller, index: str):
        mappings = {
            "dynamic": "strict",
            "_meta": {"mine": [1.0, 12345678901234567890123]},
            "_source": {"includes": ["deep.*"]},
            **of(
                deep=of(text=semantic()),
                **{"dotted.text": semantic()},
                title={"type": "text", "fields": {"sem": semantic()}, "copy_to": ["deep.text"]},
            ),
        }
        caller.ask("PUT", f"/{index}", {"mappings": mappings})
        shown = caller.ask("GET", f"/{index}/_mapping")[index]["mappings"]
        assert (
            shown.pop("properties")
            == of(
                deep=of(text=semantic()),
                dotted=of(text=semantic()),
                title=mappings["properties"]["title"],
            )["properties"]
        )
        assert "12345678901234567890123" in caller.send("GET", f"/{index}/_mapping").text
        assert shown.pop("_meta")["mine"][0] == 1.0
        assert shown == {"dynamic": "strict", "_source": {"includes": ["deep.*"]}}

    def test_the_model_from_the_first_document_on(self, caller: Caller, index: str):
        assert created(caller, index, of(body=semantic())) == {"body": semantic()}
        caller.ask("PUT", f"/{index}/_doc/1", {"body": " "}, status=None)
        assert caller.mapping(index) == {"body": semantic()}
        caller.ask("PUT", f"/{index}/_doc/1", {"body": "text"}, status=None)
        assert caller.mapping(index) == {"body": semantic(model_settings=MODEL)}

    def test_the_defaults_of_a_field(self, caller: Caller, index: str):
        created(caller, index, of(body=semantic("map-large")))
        path = f"/{index}/_mapping/field/body?include_defaults=true"
        entry = caller.ask("GET", path)[index]["mappings"]["body"]
        options = {
            "type": "bbq_hnsw",
            "m": 16,
            "ef_construction": 100,
            "rescore_vector": {"oversample": 3},
        }
        assert entry == {
            "full_name": "body",
            "mapping": {
                "body": {
                    **semantic("map-large"),
                    "search_inference_id": None,
                    "model_settings": None,
                    "chunking_settings": None,
                    "index_options": {"dense_vector": options},
                    "meta": {},
                }
            },
        }

    def test_the_same_by_every_api(self, caller: Caller, index: str):
        created(caller, index, of(body=semantic()))
        alias = {"actions": [{"add": {"index": index, "alias": "maps-alias"}}]}
        caller.ask("POST", "/_aliases", alias)
        mappings = of(body=semantic())
        for path in (f"/{index}", "/maps-alias", f"/{index}/_mappings", "/maps-*/_mapping"):
            assert caller.ask("GET", path)[index]["mappings"] == mappings
        state = caller.ask("GET", f"/_cluster/state/metadata/{index}")
        assert state["metadata"]["indices"][index]["mappings"] == {"_doc": mappings}
        pretty = caller.send(
            "GET", f"/{index}/_mapping?pretty&filter_path=*.mappings.properties.body"
        )
        assert '"type" : "semantic_text"' in pretty.text


class TestTemplates:
    @pytest.fixture(autouse=True)
    def _clean(self, elasticsearch) -> Iterator[None]:
        yield
        direct = Caller(elasticsearch.url)
        direct.send("DELETE", "/_index_template/maps-*")
        direct.send("DELETE", "/_component_template/maps-*")
        direct.send("DELETE", "/_template/maps-*")

    def test_composed(self, caller: Caller, index: str):
        part = {"template": {"mappings": of(a=semantic(chunking_settings={"strategy": "none"}))}}
        caller.ask("PUT", "/_component_template/maps-part", part)
        whole = {
            "index_patterns": ["maps-n*"],
            "composed_of": ["maps-part"],
            "priority": 950,
            "template": {"mappings": of(b=semantic(), c=semantic())},
        }
        caller.ask("PUT", "/_index_template/maps-whole", whole)
        expected = of(a=part["template"]["mappings"]["properties"]["a"], b=semantic(), c=semantic())
        shown = caller.ask("GET", "/_component_template/maps-part")["component_templates"][0]
        assert shown["component_template"]["template"] == part["template"]
        shown = caller.ask("GET", "/_index_template/maps-whole")["index_templates"][0]
        assert shown["index_template"]["template"] == whole["template"]
        for path in ("_simulate_index/maps-new", "_simulate/maps-whole"):
            simulated = caller.ask("POST", f"/_index_template/{path}")
            assert simulated["template"]["mappings"] == expected
        body = {"mappings": of(c={"type": "keyword"}, a=semantic("map-twin"))}
        caller.ask("PUT", "/maps-new", body)
        assert caller.mapping("maps-new") == {
            "a": semantic("map-twin"),
            "b": semantic(),
            "c": {"type": "keyword"},
        }

    def test_simulated_without_being_there(self, caller: Caller):
        body = {"index_patterns": ["maps-s*"], "template": {"mappings": of(a=semantic())}}
        for path in ("_simulate", "_simulate_index/maps-sim"):
            simulated = caller.ask("POST", f"/_index_template/{path}", {**body, "priority": 951})
            assert simulated["template"]["mappings"] == of(a=semantic())

    def test_legacy(self, caller: Caller, index: str):
        body = {"index_patterns": ["maps-l*"], "mappings": of(a=semantic())}
        caller.ask("PUT", "/_template/maps-old", body)
        assert caller.ask("GET", "/_template/maps-old")["maps-old"]["mappings"] == body["mappings"]
        caller.ask("PUT", "/maps-l1")
        assert caller.mapping("maps-l1") == {"a": semantic()}

    def test_errors_are_told_as_those_of_the_template(self, caller: Caller):
        body = {"index_patterns": ["maps-e*"], "template": {"mappings": of(a=semantic(nope=1))}}
        error = caller.error("PUT", "/_index_template/maps-e", body)
        reason = "composable template [maps-e] template after composition is invalid"
        assert error["reason"] == reason
        within = error["caused_by"]
        assert within["reason"] == "invalid composite mappings for [maps-e]"
        assert within["caused_by"]["reason"].startswith(
            "Failed to parse mapping: unknown parameter"
        )


def test_rollover_with_a_body(caller: Caller, index: str):
    caller.ask("PUT", "/maps-000001", {"aliases": {"maps-write": {"is_write_index": True}}})
    caller.ask("POST", "/maps-write/_rollover", {"mappings": of(a=semantic())})
    assert caller.mapping("maps-000002") == {"a": semantic()}


# What is wrong, as Elasticsearch tells it: the type, the reason, and the type of the cause.
PARSE: Final = "mapper_parsing_exception"
BARE: Final = "illegal_argument_exception"
SETTINGS: Final = {k: v for k, v in MODEL.items() if k != "service"}
ERRORS: Final = {
    "empty id": (
        of(f=semantic("")),
        "[inference_id] on mapper [f] of type [semantic_text] must not be empty",
        BARE,
    ),
    "empty search id": (
        of(o=of(f=semantic(search_inference_id=""))),
        "[search_inference_id] on mapper [f] of type [semantic_text] must not be empty",
        BARE,
    ),
    "null id": (
        of(f={"type": "semantic_text", "inference_id": None}),
        "[inference_id] on mapper [f] of type [semantic_text] must not have a [null] value",
        PARSE,
    ),
    "no id": (
        of(f={"type": "semantic_text"}),
        "[inference_id] is missing on mapper [f] of type [semantic_text], and the proxy has no "
        "default: name an endpoint, or set [semantic.default_inference_id]",
        BARE,
    ),
    "unknown parameter": (
        of(f=semantic(analyzer="standard")),
        "unknown parameter [analyzer] on mapper [f] of type [semantic_text]",
        PARSE,
    ),
    "wrong chunking": (
        of(f=semantic(chunking_settings={"type": "none"})),
        "Can't generate Chunker without ChunkingStrategy provided",
        BARE,
    ),
    "incomplete model": (
        of(f=semantic(model_settings={"task_type": "text_embedding", "similarity": "cosine"})),
        "required [dimensions] field is missing for task_type [TEXT_EMBEDDING]",
        BARE,
    ),
    "two index options": (
        of(f=semantic(index_options={"dense_vector": {}, "sparse_vector": {}})),
        "Too many index options provided, found [dense_vector, sparse_vector]",
        BARE,
    ),
    "unknown kind of index options": (
        of(f=semantic(index_options={"x": {}})),
        "Unknown index options type [x]",
        BARE,
    ),
    "unsupported index options": (
        of(f=semantic(index_options={"dense_vector": {"type": "foo"}})),
        "Unsupported index options type foo",
        BARE,
    ),
    "index options without a type": (
        of(f=semantic(index_options={"dense_vector": {}})),
        "Required type",
        BARE,
    ),
    "dynamic template": (
        {"dynamic_templates": [{"d": {"match": "x*", "mapping": semantic()}}]},
        "Field [d] of type [semantic_text] can't be used in dynamic templates",
        PARSE,
    ),
    "wrong meta": (
        of(f=semantic(meta=3)),
        "[meta] must be an object, got Integer[3] for field [f]",
        PARSE,
    ),
}
BUILD_ERRORS: Final = {
    "nested": (
        of(nested={"type": "nested", **of(f=semantic())}),
        "semantic_text field [nested.f] cannot be nested",
    ),
    "no subobjects": (
        of(l1={"subobjects": False, **of(**{"l2.f": semantic()})}),
        "semantic_text field [l1.l2.f] cannot be in an object field with subobjects disabled",
    ),
    "no subobjects at the root": (
        {"subobjects": False, **of(f=semantic())},
        "semantic_text field [f] cannot be in an object field with subobjects disabled",
    ),
    "own multi-field": (
        of(f=semantic(fields={"inference": {"type": "text"}})),
        "Field [f.inference] is already used by another field [f] internally. Please choose a "
        "different name.",
    ),
    "model of another task": (
        of(f=semantic(model_settings={"task_type": "rerank"})),
        "Wrong [task_type], expected text_embedding or sparse_embedding, got RERANK",
    ),
    "endpoint of another task": (
        of(f=semantic("map-rerank")),
        "Invalid task_type in model_settings [RERANK]",
    ),
    "another model than the endpoint's": (
        of(f=semantic(model_settings={**SETTINGS, "dimensions": 3})),
        "Mismatch between provided and registered inference model settings. Provided: "
        f"[{SHOWN_MODEL.format(3).replace('hugging_face', 'null')}], Expected: "
        f"[{SHOWN_MODEL.format(16)}].",
    ),
    "index options without a model": (
        of(f=semantic("map-none", index_options={"dense_vector": {"type": "flat"}})),
        "Model settings must be set to validate index options for inference ID [map-none]",
    ),
    "index options of another kind": (
        of(f=semantic(index_options={"sparse_vector": {"prune": False}})),
        "Invalid task type for index options, required [sparse_embedding] but was [text_embedding]",
    ),
    "filter that would lose the vectors": (
        {"_source": {"excludes": ["x*"]}, **of(f=semantic())},
        "[_source.excludes] pattern [x*] would exclude the vectors of fields of type "
        "[semantic_text]",
    ),
}


class TestErrors:
    @pytest.mark.parametrize(("mappings", "reason", "cause"), ERRORS.values(), ids=ERRORS.keys())
    def test_of_a_parameter(
        self, caller: Caller, index: str, mappings: Any, reason: str, cause: str
    ):
        whole = f"Failed to parse mapping: {reason}"
        # As for other types: only what is an ElasticsearchException in Java is the root cause.
        root = reason if cause == PARSE else whole
        expected = {
            "root_cause": [{"type": PARSE, "reason": root}],
            "type": PARSE,
            "reason": whole,
            "caused_by": {"type": cause, "reason": reason},
        }
        assert caller.error("PUT", f"/{index}", {"mappings": mappings}) == expected
        caller.ask("PUT", f"/{index}")
        assert caller.error("PUT", f"/{index}/_mapping", mappings) == expected

    @pytest.mark.parametrize(("mappings", "reason"), BUILD_ERRORS.values(), ids=BUILD_ERRORS.keys())
    def test_of_a_field(self, caller: Caller, index: str, mappings: Any, reason: str):
        one = {"type": BARE, "reason": reason}
        expected = {"root_cause": [one], **one}
        assert caller.error("PUT", f"/{index}", {"mappings": mappings}) == expected

    def test_of_all_chunking_settings_at_once(self, caller: Caller, index: str):
        field = semantic(chunking_settings={"strategy": "sentence", "max_chunk_size": 5})
        error = caller.error("PUT", f"/{index}", {"mappings": of(f=field)})
        assert error["type"] == PARSE
        assert error["caused_by"]["type"] == "validation_exception"
        assert error["reason"] == f"Failed to parse mapping: {error['caused_by']['reason']}"

    @pytest.mark.parametrize(
        "settings",
        [
            {"index.mapping.semantic_text.use_legacy_format": True},
            {"mapping": {"semantic_text": {"use_legacy_format": "true"}}},
        ],
    )
    def test_of_the_legacy_format(self, caller: Caller, index: str, settings: Any):
        error = caller.error("PUT", f"/{index}", {"settings": settings})
        assert error["type"] == BARE
        assert "index.mapping.semantic_text.use_legacy_format" in error["reason"]


class TestChanges:
    """`PUT _mapping` of indices that exist."""

    def change(self, caller: Caller, index: str, **fields: Any) -> None:
        caller.ask("PUT", f"/{index}/_mapping", of(**fields))

    def test_fields_are_added(self, caller: Caller, index: str):
        created(caller, index, of(a=semantic(), o=of(k={"type": "keyword"})))
        caller.ask("PUT", "/maps-b")
        self.change(caller, "maps-*", b=semantic(), o=of(s=semantic()))
        assert caller.mapping("maps-b") == {"b": semantic(), "o": of(s=semantic())}
        assert caller.mapping(index)["o"] == of(k={"type": "keyword"}, s=semantic())
        caller.ask("PUT", "/maps-b/_doc/1", {"b": "text"}, status=None)
        assert caller.mapping("maps-b")["b"] == semantic(model_settings=MODEL)

    def test_what_can_change(self, caller: Caller, index: str):
        created(caller, index, of(a=semantic(meta={"x": "1"})))
        caller.ask("PUT", f"/{index}/_doc/1", {"a": "text"}, status=None)
        settings = {"strategy": "word", "max_chunk_size": 20, "overlap": 1}
        for changed in (
            semantic(chunking_settings=settings),
            semantic(search_inference_id="map-twin", meta={"y": "2"}),
            semantic("map-twin"),
            semantic("map-twin"),
            semantic(),
        ):
            self.change(caller, index, a=changed)
            assert caller.mapping(index) == {"a": {**changed, "model_settings": MODEL}}

    def test_a_field_that_names_no_endpoint_keeps_its_own(self, caller: Caller, index: str):
        created(caller, index, of(a=semantic()))
        self.change(caller, index, a={"type": "semantic_text", "meta": {"x": "1"}})
        assert caller.mapping(index) == {"a": semantic(meta={"x": "1"})}

    def test_the_definition_of_several_indices(self, caller: Caller, index: str):
        created(caller, index, of(a=semantic(), z={"type": "keyword"}))
        caller.ask("PUT", "/maps-b")
        self.change(caller, index, a=semantic("map-twin"))
        self.change(caller, "maps-a,maps-b", a=semantic(search_inference_id="map-twin"))
        for one in (index, "maps-b"):
            assert caller.mapping(one)["a"] == semantic(search_inference_id="map-twin")

    @pytest.mark.parametrize(
        ("inference_id", "reason"),
        [
            (
                "map-none",
                "Cannot update [semantic_text] field [a] because inference endpoint [map-none] "
                "does not exist.",
            ),
            (
                "map-eight",
                "Cannot update [semantic_text] field [a] because inference endpoint [map-embed] "
                f"with model settings [{SHOWN_MODEL.format(16)}] is not compatible with new "
                f"inference endpoint [map-eight] with model settings [{SHOWN_MODEL.format(8)}].",
            ),
        ],
    )
    def test_another_endpoint_must_be_known_and_fit(
        self, caller: Caller, index: str, inference_id: str, reason: str
    ):
        created(caller, index, of(a=semantic()))
        caller.ask("PUT", f"/{index}/_doc/1", {"a": "text"}, status=None)
        error = caller.error("PUT", f"/{index}/_mapping", of(a=semantic(inference_id)))
        assert (error["type"], error["reason"]) == (BARE, reason)

    def test_an_endpoint_that_was_not_known(self, caller: Caller, index: str):
        created(caller, index, of(a=semantic("map-none")))
        self.change(caller, index, a=semantic("map-eight"))
        caller.ask("PUT", f"/{index}/_doc/1", {"a": "text"}, status=None)
        assert caller.mapping(index)["a"]["model_settings"]["dimensions"] == 8

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("semantic_text", "text"),
            ("semantic_text", "keyword"),
            ("text", "semantic_text"),
            ("keyword", "semantic_text"),
        ],
    )
    def test_its_type_stays(self, caller: Caller, index: str, before: str, after: str):
        kinds = {"semantic_text": semantic()}
        created(caller, index, of(o=of(a=kinds.get(before, {"type": before}))))
        changed = of(o=of(a=kinds.get(after, {"type": after})))
        error = caller.error("PUT", f"/{index}/_mapping", changed)
        reason = f"mapper [o.a] cannot be changed from type [{before}] to [{after}]"
        assert (error["type"], error["reason"]) == (BARE, reason)

    def test_where_it_cannot_stand(self, caller: Caller, index: str):
        created(caller, index, of(n={"type": "nested"}, f={"subobjects": False, **of()}))
        error = caller.error("PUT", f"/{index}/_mapping", of(n=of(a=semantic())))
        assert error["reason"] == "semantic_text field [n.a] cannot be nested"
        error = caller.error("PUT", f"/{index}/_mapping", of(f=of(a=semantic())))
        assert error["reason"].endswith("cannot be in an object field with subobjects disabled")

    def test_two_proxies_lose_nothing(self, caller: Caller, index: str, start):
        other = Caller(start().url)
        created(caller, index, of(a=semantic()))

        def add(number: int) -> None:
            proxy = (caller, other)[number % 2]
            settings = {"strategy": "word", "max_chunk_size": 20 + number, "overlap": 1}
            fields = {f"f{number}": semantic(), "a": semantic(chunking_settings=settings)}
            self.change(proxy, index, **fields)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(8)))
        shown = other.mapping(index)
        assert shown == caller.mapping(index)
        assert set(shown) == {"a", *(f"f{number}" for number in range(8))}
        assert shown["a"]["chunking_settings"]["max_chunk_size"] in range(20, 28)


class TestEndpointsInUse:
    def test_are_not_deleted(self, caller: Caller, index: str, start, elasticsearch):
        with in_thread(FaultyServer(semantic_reply)) as stub:
            caller.put_endpoint("map-used", f"{stub.url}/embed")
        created(caller, index, of(a=semantic("map-used")))
        created(caller, "maps-b", of(o=of(s=semantic(search_inference_id="map-used"))))
        reason = (
            " Inference endpoint map-used is being used in the mapping for indexes: "
            "[maps-a, maps-b]. Ensure that no index mappings are using this inference endpoint, "
            "or use force to ignore this warning and delete the inference endpoint."
        )
        error = caller.error("DELETE", "/_inference/map-used", status=409)
        assert (error["type"], error["reason"]) == ("status_exception", reason)
        dry = caller.ask("DELETE", "/_inference/map-used?dry_run=true")
        assert dry == {
            "acknowledged": False,
            "pipelines": [],
            "indexes": ["maps-a", "maps-b"],
            "error_message": reason,
        }
        done = caller.ask("DELETE", "/_inference/map-used?force=true")
        assert done == {"acknowledged": True, "pipelines": [], "indexes": []}

    def test_are_not_made_anew_with_another_model(self, caller: Caller, index: str):
        with in_thread(FaultyServer(semantic_reply)) as stub:
            caller.put_endpoint("map-anew", f"{stub.url}/embed")
            created(caller, index, of(o=of(s=semantic("map-anew"))))
            created(caller, "maps-b", of(a=semantic("map-anew")))  # holds nothing
            caller.ask("PUT", f"/{index}/_doc/1", {"o": {"s": "a text"}}, status=201)
            caller.ask("DELETE", "/_inference/map-anew?force=true")
            settings = {"url": f"{stub.url}/embed8", "api_key": "secret"}
            body = {"service": "hugging_face", "service_settings": settings}
            error = caller.error("PUT", "/_inference/text_embedding/map-anew", body)
            assert (error["type"], error["reason"]) == (
                "status_exception",
                "Inference endpoint [map-anew] could not be created because the inference_id is "
                f"being used in mappings with incompatible settings for indices: [{index}]. Please "
                "either use a different inference_id or update the index mappings to refer to a "
                "different inference_id.",
            )
            caller.put_endpoint("map-anew", f"{stub.url}/embed")
            caller.ask("DELETE", "/_inference/map-anew?force=true")
            caller.ask("DELETE", f"/{index},maps-b")
            caller.put_endpoint("map-anew", f"{stub.url}/embed8")


def test_a_default_endpoint(caller: Caller, index: str, start):
    proxy = Caller(start(HFPROXY_SEMANTIC_DEFAULT_INFERENCE_ID="map-twin").url)
    assert created(proxy, index, of(a={"type": "semantic_text"})) == {"a": semantic("map-twin")}


def test_a_mapping_without_semantic_fields_is_not_touched(caller: Caller, index: str):
    body = b'{"mappings":{"_meta":{"n":1.0,"e":1e3,"t":"semantic"},"properties":{}}}'
    caller.ask("PUT", f"/{index}", body)
    assert b'"n":1.0' in caller.send("GET", f"/{index}/_mapping").content
