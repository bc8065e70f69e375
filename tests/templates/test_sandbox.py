import time

import pytest
from jinja2 import DictLoader

from llmrec_prompt.errors import TemplateError
from llmrec_prompt.templates.sandbox import MAX_OUTPUT, MAX_RANGE, Sandbox

FILES = {
    "good": "Hello {{ name }}\n",
    "broken": "line one\n{{ a b }}\n",
    "lost": '{% include "nowhere.j2" %}',
    "twice": '{% set n = n - 1 %}{% if n %}{% include "twice" %}{% include "twice" %}{% endif %}',
}


def run(source, **variables):
    return Sandbox(DictLoader(FILES)).run("here", variables, source=source)


def refusal(source, **variables):
    with pytest.raises(TemplateError) as caught:
        run(source, **variables)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("Template 'here'")
    return message


LOOPS = "{% for a in range(1000) %}" * 4 + "{% endfor %}" * 4
DOUBLE_BLOCK = "{% set a %}{{ a }}{{ a }}{% endset %}"
MACRO = "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}"
TWICE = "{{% block b{} %}}{{{{ self.b{}() }}}}{{{{ self.b{}() }}}}{{% endblock %}}"
LONG = "{% set k = 'aaaaaaaaaa'|replace('a', 'aaaaaaaaaa')|replace('a', 'aaaaaaaaaa') %}"
MANY = "{% for i in range(1000) %}{% for j in range(1000) %}{{ k }}{% endfor %}{% endfor %}"
BIG = "{% set big = range(1000)|list %}" + "{% set big = big + big %}" * 6
BOMBS = {
    "captured": LONG + "{% set a %}" + MANY + "{% endset %}{{ a|length }}",
    "captured by a macro": LONG + "{% macro m() %}" + MANY + "{% endmacro %}{{ m() }}",
    "replacing in a list": LONG + BIG + "{{ big|map('replace', '1', k)|list|length }}",
    "replacing and joining": LONG + BIG + "{{ big|map('replace', '1', k)|join|length }}",
    "too many loops in each other": "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
    "repeated text": "{{ 'a' * 10**9 }}",
    "repeated text, small exponent": "{{ 'a' * 1000000000 }}",
    "repeated list": "{{ [1] * 1000000000 }}",
    "padding": '{{ "x".ljust(1000000000) }}',
    "padding by power": '{{ "x".ljust(10**9) }}',
    "old formatting": '{{ "%1000000000d" % 1 }}',
    "new formatting": '{{ "{:1000000000}".format(1) }}',
    "powers of powers": "{{ " + "(" * 12 + "9" + "**8)" * 12 + " > 1 }}",
    "long range": "{{ range(1001)|list }}",
    "attribute": "{{ x.__class__ }}",
    "attribute by index": "{{ x['__class__'] }}",
    "attribute of a list": "{{ [].__class__ }}",
    "attribute by filter": "{{ x|attr('__class__') }}",
    "attribute by map": "{{ [x]|map(attribute='__class__')|join }}",
    "bytes of a number": "{{ (5).to_bytes(1000000000, 'big')|length }}",
    "doubled by ~": "{% set a = 'aaaa' %}" + "{% set a = a ~ a %}" * 60 + "{{ a|length }}",
    "doubled by +": "{% set a = 'aaaa' %}" + "{% set a = a + a %}" * 60 + "{{ a|length }}",
    "doubled list": "{% set a = [1] %}" + "{% set a = a + a %}" * 60 + "{{ a|length }}",
    "nested lists": "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}",
    "nested tuples": "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * 60 + "{{ a }}",
    "nested dicts": "{% set a = 1 %}" + "{% set a = {1: a, 2: a} %}" * 60 + "{{ a }}",
    "doubled by a block": "{% set a = 'aaaa' %}" + DOUBLE_BLOCK * 60 + "{{ a|length }}",
    "doubled by a macro": MACRO + "{{ " + "m(" * 40 + "'a'" + ")" * 40 + "|length }}",
    "replacing": "{{ 'aaaaaaaaaa'" + "|replace('a', 'aaaaaaaaaa')" * 11 + "|length }}",
    "indenting": "{{ [1]|tojson(indent=1000000000)|length }}",
    "filling": "{{ [1]|batch(1000000000, 'x')|list|length }}",
    "slicing": "{{ [1]|slice(1000000000)|list|length }}",
    "rounding": "{{ 1|round(1000000000, 'ceil') }}",
    "endless macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "no such filter": "{{ x|pprint }}",
    "generator of text": "{{ lipsum(100000) }}",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_harm_is_refused_at_once(name):
    begin = time.thread_time()  # others may keep the processor busy
    refusal(BOMBS[name], x="text")
    assert time.thread_time() - begin < 1.5


@pytest.mark.parametrize(
    "source",
    [
        LOOPS,
        "{% set tick__ = ''.lower %}" + LOOPS,
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(100) }}",
        "".join(TWICE.format(n, n + 1, n + 1) for n in range(60)) + "{% block b60 %}{% endblock %}",
        '{% set n = 60 %}{% include "twice" %}',
        BIG + "{% for x in big if -1 in big %}{{ x }}{% endfor %}",
        BIG + "{% set few = range(900)|list %}" + "{{ big|reject('in', few)|list|length }}" * 20,
    ],
    ids=["loops", "look-alike of the clock", "macros", "blocks", "includes", "conditions", "tests"],
)  # fmt: skip
def test_a_slow_template_is_stopped(source):
    begin = time.monotonic()
    assert "longer than 2 s" in refusal(source)
    assert time.monotonic() - begin < 6


def test_the_clock_starts_anew_with_every_run():
    sandbox = Sandbox(DictLoader(FILES))
    with pytest.raises(TemplateError, match="longer"):
        sandbox.run("here", {}, source=LOOPS)
    assert sandbox.run("here", {}, source="{% for a in range(3) %}{{ a }}{% endfor %}") == "012"


@pytest.mark.parametrize(
    "source", ["{{ x.append(4) }}", "{{ x.pop() }}", "{{ x.clear() }}", "{{ x.sort() }}", "{{ x.extend(x) }}"]
)
def test_a_passed_list_cannot_be_changed(source):
    given = [3, 1, 2]
    refusal(source, x=given)
    assert given == [3, 1, 2]


@pytest.mark.parametrize("source", ["{{ x.update(b=2) }}", "{{ x.pop('a') }}", "{{ x.setdefault('b', 2) }}"])
def test_a_passed_dict_cannot_be_changed(source):
    given = {"a": 1}
    refusal(source, x=given)
    assert given == {"a": 1}


def test_output_is_capped():
    body = "{% for a in range(1000) %}{{ x }}{% endfor %}"
    assert len(run(body, x="y" * (MAX_OUTPUT // 1000))) == MAX_OUTPUT
    assert f"more than {MAX_OUTPUT} characters" in refusal(body, x="y" * (MAX_OUTPUT // 1000 + 1))


def test_range_is_capped():
    assert run("{{ range(1000)|length }}") == str(MAX_RANGE)
    assert str(MAX_RANGE) in refusal("{{ range(0, 1001)|length }}")


def test_an_undefined_variable_is_named_with_what_there_is():
    assert refusal("{{ histroy }}", history=[], domain={}) == (
        "Template 'here': 'histroy' is undefined. Variables there are: domain, history."
    )
    assert "no attribute 'titel'" in refusal("{{ item.titel }}", item={"title": "A"})
    assert "'maybe' is undefined" in refusal("{% if maybe %}x{% endif %}")


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("a\n{{ b b }}", "line 2"),
        ("{% for %}", "line 1"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ [1, 'a']|sort }}", "not supported"),
        ("{{ 5|dictsort }}", "no attribute 'items'"),
        ("{{ []|first }}", "empty"),
        ("{{ 'a'() }}", "not callable"),
        ("{{ 1|nothing }}", "nothing"),
        ('{% include "broken" %}', "line 2"),
        ('{% include "nowhere.j2" %}', "nowhere.j2"),
    ],
)
def test_mistakes_are_one_line_errors(source, part):
    assert part in refusal(source)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ x[:2]|join(', ') }}", "a, b"),
        ("{{ (x|list)[1:]|join }}", "bc"),
        ("{% for v in x %}{{ loop.index }}{{ v|upper }}{% endfor %}", "1A2B3C"),
        ("{% for k, v in y.items() %}{{ k }}={{ v }}{% endfor %}", "k=7"),
        ("{{ 'n' ~ y.k ~ '!' }}", "n7!"),
        ("{{ ('a' if y.k > 5 else 'b') + x[0] }}", "aa"),
        ("{{ ([x[0], y.k] + [1])|join('-') }}", "a-7-1"),
        ("{{ 2 * y.k + 1 - 3 % 2 }}", "14"),
        ("{{ 2 ** 8 }}", "256"),
        ("{{ 3.14159|round(2) }}", "3.14"),
        ("{% set z = x[0] %}{{ z.upper() }}", "A"),
        ("{% macro m(v) %}<{{ v }}>{% endmacro %}{{ m(x[0]) ~ m(1) }}", "<a><1>"),
        ("{% set z %}{{ x[0] }}{{ x[1] }}{% endset %}{{ z }}", "ab"),
        ("{{ 'a b c'|replace(' ', '_')|truncate(4, true, '…', 0) }}", "a_b…"),
        ("{{ x|reverse|map('upper')|join }}", "CBA"),
        ("{{ {'a': x[0]}['a'] }}{{ (x[1], x[2])[1] }}", "ac"),
        ("{{ none|default('d', true) }}", "d"),
        ("{% if x %}\n  line\n{% endif %}\nend\n", "  line\nend\n"),
    ],
)
def test_what_templates_need_works(source, text):
    assert run(source, x=["a", "b", "c"], y={"k": 7}) == text


def test_named_templates_and_values_that_look_like_templates():
    sandbox = Sandbox(DictLoader(FILES))
    assert sandbox.run("good", {"name": "{{ 7*7 }}<b>"}) == "Hello {{ 7*7 }}<b>\n"
