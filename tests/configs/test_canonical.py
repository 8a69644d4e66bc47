import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.canonical import INT64_MAX, INT64_MIN, canonical_text


@pytest.mark.parametrize(
    ("value", "declared", "text"),
    [
        (None, "string", ""),
        (None, "int64", ""),
        ("", "string", ""),
        ("", "int64", ""),
        (7, "string", "7"),
        (7, "int64", "7"),
        ("7", "int64", "7"),
        ("07", "int64", "7"),
        ("+7", "int64", "7"),
        ("-0", "int64", "0"),
        (7.0, "int64", "7"),
        (-7, "int64", "-7"),
        ("07", "string", "07"),
        (" 7 ", "string", " 7 "),
        ("Größe\n", "string", "Größe\n"),
        ("\x00", "string", "\x00"),
        (INT64_MAX, "int64", "9223372036854775807"),
        (INT64_MIN, "int64", "-9223372036854775808"),
    ],
)
def test_canonical_text(value, declared, text):
    assert canonical_text(value, declared) == text


@pytest.mark.parametrize(
    ("value", "declared", "words"),
    [
        ("7.0", "int64", "expected an integer, got str '7.0'"),
        (" 7", "int64", "expected an integer"),
        ("7\n", "int64", "expected an integer"),
        ("\u0667", "int64", "expected an integer"),
        ("1_000", "int64", "expected an integer"),
        ("0x10", "int64", "expected an integer"),
        ("x", "int64", "expected an integer"),
        (7.5, "int64", "got float 7.5"),
        (float("nan"), "int64", "got float nan"),
        (float("inf"), "int64", "got float inf"),
        (7.0, "string", "expected text or an integer, got float"),
        (True, "string", "got bool True"),
        (True, "int64", "got bool True"),
        (b"7", "string", "got bytes"),
        ([7], "int64", "got list"),
        ({}, "string", "got dict"),
        (INT64_MAX + 1, "int64", "fits 64 bits"),
        (str(INT64_MIN - 1), "int64", "fits 64 bits"),
        (1e300, "int64", "fits 64 bits"),
        ("\ud800", "string", "valid Unicode"),
    ],
)
def test_what_has_no_canonical_text(value, declared, words):
    with pytest.raises(ValueError, match=words):
        canonical_text(value, declared)


@given(st.integers(INT64_MIN, INT64_MAX))
def test_integers_have_one_text_however_they_are_written(value):
    text = canonical_text(value, "int64")
    assert text == str(value)
    assert canonical_text(str(value), "int64") == text
    assert canonical_text(value, "string") == text
    assert canonical_text(f"{value:+021d}", "int64") == text


@given(st.text())
def test_text_stays_as_it_is_and_is_its_own_canonical_text(value):
    assert canonical_text(value, "string") == value
    value.encode()


@given(st.text(max_size=6))
def test_an_int64_text_is_refused_or_canonical(value):
    try:
        text = canonical_text(value, "int64")
    except ValueError:
        return
    assert canonical_text(text, "int64") == text
    assert text == "" or str(int(text)) == text
