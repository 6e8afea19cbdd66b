from __future__ import annotations

import pytest

from proxy.semantic.hiding import hidden_in_text, hide_in_error


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing of ours", "nothing of ours"),
        ("failed on [xinf.body.chunks.embeddings]", "failed on [body.inference.chunks.embeddings]"),
        ("[xinf.a:b.chunks]", "[a.b.inference.chunks]"),
        ("Mapper for [xinf.a:b.def2] conflicts", "Mapper for [a.b] conflicts"),
        ("Mapper for [xinf.a:b.chunks.embeddings] conflicts", "Mapper for [a.b] conflicts"),
        ("_nested_path:xinf.body.chunks", "_nested_path:body.inference.chunks"),
        ("xinf.o:s.seen.m:T", "o.s:T"),
        ("field [xinf.body] of", "field [body] of"),
        ("a word like xinfrared, or maxinf.a", "a word like xinfrared, or maxinf.a"),
        ('at {"a": 1,"xinf":{"body":{"chunks":[{"embeddings":[0.1', 'at {"a": 1'),
        ('quoted {\\"a\\":1,\\"xinf\\":{\\"b', 'quoted {\\"a\\":1'),
        ('source[{"_source":{"excludes":["xinf"]}}]', 'source[{"_source":{"excludes":[]}}]'),
        ('{"excludes":["a","xinf"],"b":1}', '{"excludes":["a"],"b":1}'),
        ('{\\"excludes\\":[\\"xinf\\",\\"a\\"]}', '{\\"excludes\\":[\\"a\\"]}'),
        ("uri [/a/_doc/1?_source_excludes=xinf]", "uri [/a/_doc/1]"),
        ("/a/_doc/1?_source_excludes=xinf&n=1", "/a/_doc/1?n=1"),
        ("/a/_doc/1?n=1&_source_excludes=xinf&m=2", "/a/_doc/1?n=1&m=2"),
        ("/a/_doc/1?_source_excludes=b%2Cxinf&m=2", "/a/_doc/1?_source_excludes=b&m=2"),
        ("/a/_doc/1?_source_includes=b%2Cxinf", "/a/_doc/1?_source_includes=b"),
        ("/a/_doc/1?_source_excludes=xinfrared", "/a/_doc/1?_source_excludes=xinfrared"),
        (
            "Can't find dynamic template for dynamic template name [semantic-field-missing] of "
            "field [xinf.body.chunks]",
            "field [body.inference.chunks] is not mapped any more",
        ),
    ],
)
def test_texts_speak_of_the_users_fields(text: str, shown: str):
    assert hidden_in_text(text) == shown


def test_errors_are_hidden_in_every_part():
    error = {"error": {"root_cause": [{"reason": "[xinf.a.chunks]"}], "xinf.a.model": 1}}
    assert hide_in_error(error) == {
        "error": {"root_cause": [{"reason": "[a.inference.chunks]"}], "a": 1}
    }
