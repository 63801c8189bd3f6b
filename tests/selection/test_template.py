"""The subset of Go's template language, and the errors for everything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit import UsageError
from tarkit.selection.skopeo import go_time, uses_tags
from tarkit.selection.template import Template
from tarkit.selection.template_values import GoTime, Nil, Record

VALUE = Record(
    Name="app",
    Layers=["a", "b", "c"],
    Labels={"z": "1", "a": "2", "k.x": "3"},
    Data=[Record(Size=1, Kind="x"), Record(Size=22, Kind="y")],
    Env=Nil("[]"),
    None_=Nil("map[]"),
    Created=GoTime("then", "2024"),
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("text", "text"),
        ("a } b }} {", "a } b }} {"),
        ("{{.Name}}", "app"),
        (r"{{ .Name }}\t|\n", "app\t|\n"),
        ("{{.Layers}}", "[a b c]"),
        ("{{.Labels}}", "map[a:2 k.x:3 z:1]"),
        ("{{.Data}}", "[{1 x} {22 y}]"),
        ("{{.Env}}{{.None_}}{{.Created}}", "[]map[]then"),
        ("{{.Labels.z}}{{.Labels.q}}{{.None_.q}}", "1<no value><no value>"),
        ('{{index .Labels "k.x"}}|{{index .Labels "q"}}|{{index .Layers 2}}', "3||c"),
        ("{{(index .Data 1).Kind}}{{index .Data 0}}", "y{1 x}"),
        ('{{join .Layers ", "}}|{{join .Env ","}}', "a, b, c|"),
        ("{{join .Layers `-`}}", "a-b-c"),
        ('{{", " | join .Layers}}', "a, b, c"),
        ('{{len .Layers}}{{len .Labels}}{{len .Env}}{{len "ü"}}{{.Name | len}}', "33023"),
        ("{{json .Labels}}", '{"a":"2","k.x":"3","z":"1"}'),
        ("{{json .Env}}{{json .Created}}{{json .Name}}{{json .Data}}", 'null"2024""app"[{"Size":1,"Kind":"x"},{"Size":22,"Kind":"y"}]'),
        ("{{range .Layers}}<{{.}}>{{end}}", "<a><b><c>"),
        ("{{range .Labels}}{{.}}{{end}}", "231"),
        ("{{range .Env}}x{{else}}none{{end}}", "none"),
        ("{{range .Data}}{{if .Size}}{{.Kind}}{{end}}{{end}}", "xy"),
        ("{{if .Env}}a{{else if .Name}}b{{else}}c{{end}}d", "bd"),
        ('{{if ""}}a{{else if 0}}b{{else}}c{{end}}', "c"),
        ("{{if .Created}}a{{end}}{{if .Data}}b{{end}}", "ab"),
        ("a \n{{- .Name -}}\n b", "aappb"),
        ("{{if .Name -}}   x   {{- end}}", "x"),
        ("{{ ( ( .Name ) ) }}", "app"),
    ],
)  # fmt: skip
def test_output(template: str, expected: str) -> None:
    assert Template(template).render(VALUE) == expected


@pytest.mark.parametrize(
    ("template", "position", "problem"),
    [
        ("ab{{", 3, "unclosed action"),
        ("ab{{.Name}", 3, "unclosed action"),
        ("{{}}", 1, "empty action"),
        ("{{/* comment */}}", 3, "unexpected '/'"),
        ("{{$x := 1}}", 3, "unexpected '$'"),
        ("{{.Name}}{{printf .Name}}", 12, "unknown function 'printf'"),
        ("{{with .Name}}x{{end}}", 3, "unknown function 'with'"),
        ("{{if}}x{{end}}", 3, "a value is missing"),
        ("{{if .Name}}x", 3, "{{if}} without {{end}}"),
        ("x{{end}}", 4, "unexpected {{end}}"),
        ("x{{else}}", 4, "unexpected {{else}}"),
        ("{{if .Name}}{{else}}{{else}}{{end}}", 23, "a second {{else}}"),
        ("{{if .Name}}{{else .Name}}{{end}}", 20, "unexpected '.Name'"),
        ("{{if .Name}}{{end .Name}}", 19, "unexpected '.Name'"),
        ("{{.Name .Layers}}", 3, "only functions have arguments"),
        ("{{.Name | .Layers}}", 11, "only a function can follow '|'"),
        ("{{.Name |}}", 3, "a value is missing"),
        ("{{(.Name}}", 3, "'(' without ')'"),
        ("{{.Name)}}", 8, "unexpected ')'"),
        ('{{"a\\q"}}', 3, "malformed string"),
        ('{{"a}}', 3, "unexpected '\"'"),
        ("{{.Nope}}", 3, "no field 'Nope' (known: Name,"),
        ("{{range .Layers}}{{.Size}}{{end}}", 20, "no field 'Size' in a string"),
        ("{{range .Name}}{{end}}", 3, "cannot range over a string"),
        ("{{index .Layers 3}}", 3, "index 3 is out of range: there are 3 items"),
        ("{{index .Layers -1}}", 3, "index -1 is out of range"),
        ("{{index .Env 0}}", 3, "index 0 is out of range"),
        ('{{index .Layers "a"}}', 3, "cannot index a list with a string"),
        ("{{index}}", 3, "index needs a list or map"),
        ('{{index (index .Data 0) "Size"}}', 3, "use a field instead of index"),
        ("{{len 1}}", 3, "a number has no length"),
        ("{{len}}", 3, "len takes 1 argument, not 0"),
        ("{{json .Name .Name}}", 3, "json takes 1 argument, not 2"),
        ("{{join .Layers}}", 3, "join takes 2 arguments, not 1"),
        ('{{join .Labels ","}}', 3, "join needs a list of strings"),
        ("{{.Created.Year}}", 3, "no field 'Year' in a time"),
        ("{{" + "(" * 60 + ".Name" + ")" * 60 + "}}", 53, "nested too deeply"),
        ("{{if .Name}}" * 60 + "{{end}}" * 60, 603, "nested too deeply"),
    ],
)  # fmt: skip
def test_errors_have_a_position(template: str, position: int, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        Template(template).render(VALUE)
    assert f"template, character {position}: {problem}" in str(caught.value)


def test_control_characters_of_an_image_are_escaped() -> None:
    value = Record(Name="\x1b[31m\n", Labels={"\x07": "\x9b"})
    shown = Template("{{.Name}} {{.Labels}} {{json .}}").render(value)
    assert shown.isprintable()


@given(st.text('{}.|()"`-/ $abNameifrangeendelse0\n', max_size=40))
def test_any_text_is_a_template_or_a_usage_error(text: str) -> None:
    try:
        Template(text).render(VALUE)
    except UsageError as error:
        assert "template, character" in str(error)  # noqa: PT017


@given(st.text("ab \n}{", max_size=20).filter(lambda text: "{{" not in text))
def test_text_without_actions_stays(text: str) -> None:
    assert Template(text).render(VALUE) == text


@pytest.mark.parametrize(
    ("text", "expected", "in_json"),
    [
        ("2024-01-02T03:04:05Z", "2024-01-02 03:04:05 +0000 UTC", "2024-01-02T03:04:05Z"),
        (
            "2024-01-02T03:04:05.120000000Z",
            "2024-01-02 03:04:05.12 +0000 UTC",
            "2024-01-02T03:04:05.12Z",
        ),
        (
            "2024-01-02T03:04:05.000+02:00",
            "2024-01-02 03:04:05 +0200 +0200",
            "2024-01-02T03:04:05+02:00",
        ),
    ],
)
def test_times_are_those_of_go(text: str, expected: str, in_json: str) -> None:
    assert go_time(text) == GoTime(expected, in_json)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-02T03:04:05Z", "2024-01-02"])
def test_other_times_are_nil(text: str) -> None:
    assert go_time(text) == Nil("<nil>")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.Name}}", False),
        ("{{.RepoTags}}", True),
        ("{{json .}}", True),
        ("json", True),
        ("", True),
        ("{{.}}", True),
        ("{{. | json}}", True),
        ("{{json (.)}}", True),
        ("{{range .Layers}}x{{end}}", False),
    ],
)
def test_tags_are_requested_only_if_shown(template: str, expected: bool) -> None:
    assert uses_tags(template) is expected
