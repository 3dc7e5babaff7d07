"""What a person's SQL may name is found in the words of the statement, cut as the server cuts them."""

from __future__ import annotations

import pytest

from tracecore_postgres.fence import Word, forbidden_word, words_of

SCHEMAS = frozenset(("public", "other", "pg_catalog"))
PERMITTED = (
    "select * from spans",
    "SELECT count(*) FROM spans s JOIN traces t USING (trace_id)",
    "(select 1) union all (select 2)",
    "((select 1))",
    "with x as (select 1 as a) select a from x",
    "values (1), (2)",
    "table spans",
    "explain select 1",
    "select 'tc_traces', 'it''s pg_sleep', E'it\\'s pg_sleep', N'pg_', b'01', x'ff'",
    "select $$ tc_traces ' $$, $a$ pg_sleep $$ tc_ $a$, $_9$ tc_ $_9$",
    "-- tc_traces\nselect 1 /* pg_sleep /* nested */ tc_ */ + 1 --pg_",
    "select public, other from spans",
    "select s.name from spans s where s.name = 'public.users'",
    "select 1.5e3, 0x1f, .5, name as tcx, etc_tc, xpg_ from spans",
    'select "name", "a""b" from spans',
    "select 'a'\n'b'",
    "select input -> 'a' ->> 'b' from spans",
    "select tags::text from spans",
)
REFUSED = (
    ("select * from tc_traces", "tc_traces"),
    ("select * from TC_Traces", "tc_traces"),
    ('select * from "tc_traces"', "tc_traces"),
    ("select * from spans, tc_bodies", "tc_bodies"),
    ("select/**/pg_sleep(1)", "pg_sleep"),
    ("select a.pg_sleep from spans a", "pg_sleep"),
    ('select "pg_sleep"(1)', "pg_sleep"),
    ("select * from pg_class", "pg_class"),
    ("select * from pg_catalog . pg_class", "pg_catalog"),
    ("select * from public.users", "public"),
    ("select * from public /* */ . users", "public"),
    ('select * from "public".users', "public"),
    ("select * from db.other.users", "other"),
    ("select query_to_xml('select 1', true, true, '')", "query_to_xml"),
    ("select * from ts_stat('select 1')", "ts_stat"),
    ("select set_config('a.b', 'c', false)", "set_config"),
    ("select lo_import('/etc/passwd')", "lo_import"),
    ("select dblink('', '')", "dblink"),
    ("select nextval('x')", "nextval"),
    ("delete from spans", "delete"),
    ("copy spans to stdout", "copy"),
    ("begin", "begin"),
    ("set a.b = 1", "set"),
    ("show all", "show"),
    ("do $$ $$", "do"),
    ("prepare a as select 1", "prepare"),
    ("", ""),
    (";", ";"),
    ("-- select 1", ""),
    ("/* select 1", ""),
    ("((", ""),
    ("'select'", ""),
)
"""Statements, and the word for which each is refused."""
HIDING = (
    # A comment ends at either end of a line; others are nested.
    "select 1 -- a\r, pg_sleep(1)",
    "select 1 /* /* */ , 2 */ , pg_sleep(1)",
    # Every character beyond ASCII may be in the tag of a text, and in a name.
    "select $\N{FIRE}$ ' $\N{FIRE}$ , pg_sleep(1) , '...'",
    "select '\\' , pg_sleep(1) , '...'",
    "select E'\\'' , pg_sleep(1) , '...'",
    "select $1a$ , pg_sleep(1) , $1a$",
    "select a$b$ , pg_sleep(1) , c$b$ from spans",
    "select 'a' /* ' */ , pg_sleep(1) /* ' */",
    'select "a""" , pg_sleep(1) , """"',
    # A text that goes on behind the end of its line keeps the rules of its first part.
    "select E'a'\n'\\'' , pg_sleep(1) , '...'",
    "select E'a' -- b\n '\\'' , pg_sleep(1) , '...'",
    'select U&"pg!005fsleep"(1)',
    "select u&'\\0070'",
    "select 1union select pg_sleep(1)",
    "select 1.pg_sleep",
)
"""Statements in which something forbidden stands where a careless reader sees a text or a comment."""


@pytest.mark.parametrize("sql", PERMITTED)
def test_reading_the_views_is_permitted(sql: str) -> None:
    """Whatever reads the views passes, whatever its texts, comments and columns say."""
    assert forbidden_word(sql, SCHEMAS) is None


@pytest.mark.parametrize(("sql", "word"), REFUSED)
def test_leading_past_the_views_is_refused(sql: str, word: str) -> None:
    """A table, another schema, a function that reaches further and a statement that does not read are named."""
    assert forbidden_word(sql, SCHEMAS) == word


@pytest.mark.parametrize("sql", HIDING)
def test_nothing_hides_behind_texts_and_comments(sql: str) -> None:
    """Texts and comments end where they end for the server: what follows them is seen."""
    assert forbidden_word(sql, SCHEMAS) is not None


def test_names_are_read_as_the_server_reads_them() -> None:
    """A name is in lower case unless it was quoted; texts and comments are no words."""
    assert list(words_of("""SELECT "A""b"."C" /* d */, 'e' FROM F""")) == [
        Word("select", is_name=True), Word('A"b', is_name=True), Word(".", is_name=False), Word("C", is_name=True),
        Word(",", is_name=False), Word("from", is_name=True), Word("f", is_name=True),
    ]  # fmt: skip


def test_a_schema_may_give_its_name_to_a_column() -> None:
    """Only what stands before a dot is taken for a schema."""
    assert forbidden_word("select public from spans", SCHEMAS) is None
    assert forbidden_word("select public.a from spans", SCHEMAS) == "public"
    assert forbidden_word("select public.a from spans", frozenset()) is None
