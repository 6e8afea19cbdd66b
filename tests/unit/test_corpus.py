"""The passages and questions of the demonstration are fit for it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from demo.corpus import FOLDER, Passage, passages, questions

STEM: Final = 5  # letters; `carries` and `carrier` count as one word
COMMON: Final = """
    a about all an and any are as at be been but by can cannot could did do does each every for
    from get had has have he her him his how i if in into is it its like made make makes many may
    more most much my no not now of off on one only or other out over she so some such than that
    the their them then there they this to up us was were what when where which who why will with
    without you your
"""


def words(text):
    found = re.findall(r"[a-z]+", text.lower())
    return {word[:STEM] for word in found if word not in COMMON.split()}


def whole(passage: Passage):
    return f"{passage.title} {passage.text}"


def test_there_are_enough_passages_on_varied_subjects():
    topics = Counter(passage.topic for passage in passages())
    assert len(passages()) >= 300
    assert len(topics) >= 20
    assert max(topics.values()) <= len(passages()) / 10


def test_ids_and_titles_are_unique_and_ids_are_plain():
    rows = passages()
    assert len({row.id for row in rows}) == len(rows)
    assert len({row.title for row in rows}) == len(rows)
    assert [row.id for row in rows if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.id)] == []


def test_passages_are_of_one_size():
    odd = {row.id: len(row.text.split()) for row in passages()}
    assert {name: count for name, count in odd.items() if not 40 <= count <= 90} == {}


def test_no_two_passages_say_the_same():
    rows = passages()
    bags = [words(row.text) for row in rows]
    alike = [
        (rows[i].id, rows[j].id)
        for i in range(len(rows))
        for j in range(i)
        if len(bags[i] & bags[j]) > 0.35 * min(len(bags[i]), len(bags[j]))
    ]
    assert alike == []


def test_questions_name_passages_that_exist():
    known = {row.id for row in passages()}
    assert len(questions()) >= 20
    assert len({question.question for question in questions()}) == len(questions())
    for question in questions():
        assert question.answers
        assert question.answers <= known


def test_questions_share_at_most_one_word_with_their_answers():
    by_id = {row.id: row for row in passages()}
    for question in questions():
        for name in question.answers:
            shared = words(question.question) & words(whole(by_id[name]))
            assert len(shared) <= 1, (question.question, shared)


def test_the_words_of_a_question_do_not_lead_to_its_answer():
    """The passage that shares most words with a question is seldom the right one."""
    rows = passages()
    bags = {row.id: words(whole(row)) for row in rows}
    found = 0
    for question in questions():
        asked = words(question.question)
        best = max(len(asked & bag) for bag in bags.values())
        found += any(len(asked & bags[name]) == best > 0 for name in question.answers)
    assert found <= len(questions()) / 2


def test_the_licence_stands_beside_them():
    assert "CC0-1.0" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
