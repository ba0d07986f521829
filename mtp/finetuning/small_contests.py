"""Self-made programming problems with right and wrong solutions: the stand-in for CodeContests (Section 3.6, Figure 4).

A problem is a family (a sentence and the expression that solves it) with parameters. A document is a function with the
sentence as its docstring, a tag, and one solution, as in Appendix F:

    def f(x):
        "add 3 to x"
        # correct
        return x + 3

Wrong solutions, tagged `# incorrect`, are slips that fail a hidden test. A test problem is a known family with
parameters that no training problem of that family has. It is asked for with the tag `# correct`.
"""

import dataclasses
import itertools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtp.errors import UserError
from mtp.finetuning import SPLITS, Example
from mtp.settings import checked, positive

NAME = "small contests"
"""In results: these problems are not those of CodeContests."""
VERSION = 1
HELD_OUT = 8
"""One in so many of a family's problems is kept for validation, and one for the test; at least one."""
RIGHT, WRONG = "# correct", "# incorrect"

NUMBERS = tuple("23456789")
LETTERS = tuple("abcdefgh")


@dataclasses.dataclass(frozen=True)
class Family:
    """Problems that differ in their parameters, which stand for {a} and {b}."""

    sentence: str
    right: str
    wrong: tuple[str, ...]
    inputs: tuple[Any, ...]
    """Arguments of the hidden tests; a wrong solution must fail at one of them."""
    parameters: tuple[tuple[str, ...], ...]


ONE, TWO, LETTER = (NUMBERS,), (NUMBERS, NUMBERS), (LETTERS,)
INTEGERS = (0, 1, 2, 5, 7, 12, -4, 30, 63)
LISTS: tuple[list[int], ...] = ([], [1], [4, 2, 9], [3, 3, 8, 1, 6], list(range(12)), [-5, 7, 0, 18, 6, 4, 5, 9, 2, 3])
WORDS = ("", "a", "banana", "abcdefgh", "headed bag", "fgh chef", "tiny")

FAMILIES = (
    Family("add {a} to x", "x + {a}", ("x - {a}", "x * {a}", "x"), INTEGERS, ONE),
    Family("take {a} from x", "x - {a}", ("x + {a}", "{a} - x", "x // {a}"), INTEGERS, ONE),
    Family("x times {a}", "x * {a}", ("x + {a}", "x ** {a}", "x // {a}"), INTEGERS, ONE),
    Family("x divided by {a}, rounded down", "x // {a}", ("x / {a}", "x % {a}", "x * {a}"), INTEGERS, ONE),
    Family("the rest of x divided by {a}", "x % {a}", ("x // {a}", "{a} % (x or 1)", "x"), INTEGERS, ONE),
    Family("x to the power of {a}", "x ** {a}", ("x * {a}", "{a} * x * x", "x + {a}"), INTEGERS, ONE),
    Family("is x above {a}", "x > {a}", ("x < {a}", "x == {a}", "x != {a}"), (*INTEGERS, 3, 4, 6, 8, 9, 10), ONE),
    Family("is x below {a}", "x < {a}", ("x > {a}", "x == {a}", "x != {a}"), (*INTEGERS, 3, 4, 6, 8, 9, 10), ONE),
    Family("is x a multiple of {a}", "x % {a} == 0", ("x // {a} == 0", "x % {a} == 1", "x == {a}"),
           (*INTEGERS, 4, 6, 8, 9), ONE),
    Family("the larger of x and {a}", "max(x, {a})", ("min(x, {a})", "x + {a}", "x"), INTEGERS, ONE),
    Family("the smaller of x and {a}", "min(x, {a})", ("max(x, {a})", "x - {a}", "x"), INTEGERS, ONE),
    Family("how far x is from {a}", "abs(x - {a})", ("x - {a}", "abs(x + {a})", "abs(x)"), INTEGERS, ONE),
    Family("x times {a} plus {b}", "x * {a} + {b}", ("x + {a} * {b}", "x * {a} - {b}", "x * {a}"), INTEGERS, TWO),
    Family("x plus {a} times {b}", "x + {a} * {b}", ("x * {a} + {b}", "x + {a}", "x - {a} * {b}"), INTEGERS, TWO),
    Family("{a} if x is zero, else {b}", "{a} if x == 0 else {b}", ("{a} if x else {b}", "{a} if x != 0 else {b}",
           "{b}"), INTEGERS, TWO),
    Family("{a} if x is negative, else {b}", "{a} if x < 0 else {b}", ("{a} if x > 0 else {b}",
           "{a} if x == 0 else {b}", "{b}"), INTEGERS, TWO),
    Family("the first {a} items of x", "x[:{a}]", ("x[{a}:]", "x[-{a}:]", "x[{a}]"), LISTS, ONE),
    Family("the last {a} items of x", "x[-{a}:]", ("x[:{a}]", "x[{a}:]", "x[:-{a}]"), LISTS, ONE),
    Family("x without its first {a} items", "x[{a}:]", ("x[:{a}]", "x[:-{a}]", "x[-{a}:]"), LISTS, ONE),
    Family("x without its last {a} items", "x[:-{a}]", ("x[{a}:]", "x[:{a}]", "x[-{a}:]"), LISTS, ONE),
    Family("every item of x plus {a}", "[i + {a} for i in x]", ("[i - {a} for i in x]", "[i * {a} for i in x]",
           "x + [{a}]"), LISTS, ONE),
    Family("every item of x times {a}", "[i * {a} for i in x]", ("[i + {a} for i in x]", "x * {a}",
           "[i ** {a} for i in x]"), LISTS, ONE),
    Family("the items of x above {a}", "[i for i in x if i > {a}]", ("[i for i in x if i < {a}]",
           "[i > {a} for i in x]", "x[{a}:]"), LISTS, ONE),
    Family("the items of x below {a}", "[i for i in x if i < {a}]", ("[i for i in x if i > {a}]",
           "[i < {a} for i in x]", "x[:{a}]"), LISTS, ONE),
    Family("x with {a} at its end", "x + [{a}]", ("[{a}] + x", "x", "x * {a}"), LISTS, ONE),
    Family("x with {a} at its start", "[{a}] + x", ("x + [{a}]", "x", "x[{a}:]"), LISTS, ONE),
    Family("every item number {a} of x", "x[::{a}]", ("x[{a}::]", "x[:{a}]", "x[::-1]"), LISTS, ONE),
    Family("the numbers below x in steps of {a}", "list(range(0, x, {a}))", ("list(range({a}, x))",
           "list(range(0, {a}, x or 1))", "list(range(x))"), INTEGERS, ONE),
    Family("how many {a} are in x", "x.count('{a}')", ("x.find('{a}')", "len(x)", "x.index('{a}')"), WORDS, LETTER),
    Family("where the first {a} is in x", "x.find('{a}')", ("x.count('{a}')", "x.rfind('{a}')", "len(x)"),
           (*WORDS, "habcdefgh"), LETTER),
    Family("x without {a}", "x.replace('{a}', '')", ("x.strip('{a}')", "x.replace('', '{a}')", "x"), WORDS, LETTER),
    Family("does x start with {a}", "x.startswith('{a}')", ("x.endswith('{a}')", "'{a}' in x", "x == '{a}'"),
           ("abacad", "bcd", "cat", "dad", "edged", "fade", "gash", "hb", "a", "cb", "tda", "be", "log", "oh"), LETTER),
    Family("does x end with {a}", "x.endswith('{a}')", ("x.startswith('{a}')", "'{a}' in x", "x == '{a}'"),
           ("tea", "ab", "bc", "ad", "be", "ef", "dog", "oh", "all", "bat", "cat", "dot", "elf", "fit", "get"), LETTER),
    Family("is {a} in x", "'{a}' in x", ("'{a}' not in x", "x == '{a}'", "x.find('{a}')"), WORDS, LETTER),
    Family("x cut at every {a}", "x.split('{a}')", ("x.strip('{a}')", "x.find('{a}')", "list(x)"), WORDS, LETTER),
    Family("x with {a} around it", "'{a}' + x + '{a}'", ("x + '{a}'", "'{a}' + x", "x"), WORDS, LETTER),
)  # fmt: skip


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options: seed; problems (most of a family that are drawn, all splits together); right_per_wrong (every training
    problem has a right solution, one in so many a wrong one too).

    Raises:
        UserError: naming the option.
    """
    found = checked(options, {}, dict.fromkeys(("seed", "problems", "right_per_wrong"), int))
    found = {"seed": 0, "problems": 16, "right_per_wrong": 2} | found
    positive(found, "right_per_wrong")
    if found["problems"] < len(SPLITS):
        raise UserError(f"options: problems: a family needs one for each split, got {found['problems']}")
    return found


def examples(options: Mapping[str, Any], source: Path | None = None) -> dict[str, list[Example]]:
    """Every problem once for each of its solutions; those of validation and test are right. `source` is not read."""
    draw = random.Random(options["seed"])
    found: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for number, family in enumerate(FAMILIES):
        chosen = [values for values in itertools.product(*family.parameters) if len(set(values)) == len(values)]
        draw.shuffle(chosen)
        chosen = chosen[: options["problems"]]
        held = max(1, len(chosen) // HELD_OUT)
        for i, values in enumerate(chosen):
            split = "test" if i < held else "valid" if i < 2 * held else "train"
            problem = _Problem(family, values, f"{NAME}/{number}-{''.join(values)}")
            found[split].append(problem.example(problem.right, RIGHT))
            if split == "train" and i % options["right_per_wrong"] == 0:
                found[split].append(problem.example(draw.choice(problem.wrong()), WRONG))
    for split in SPLITS:
        draw.shuffle(found[split])
    return found


@dataclasses.dataclass(frozen=True)
class _Problem:
    """A family with its parameters filled in."""

    family: Family
    values: tuple[str, ...]
    task_id: str

    def _filled(self, text: str) -> str:
        return text.format(**dict(zip("ab", self.values, strict=False)))

    @property
    def right(self) -> str:
        return self._filled(self.family.right)

    def wrong(self) -> list[str]:
        """The slips of the family that fail a test with these parameters."""
        asserted = outcomes(self.right, self.family.inputs)
        slips = [self._filled(text) for text in self.family.wrong]
        return [slip for slip in slips if outcomes(slip, self.family.inputs) != asserted]

    def example(self, expression: str, tag: str) -> Example:
        question = f"# {self._filled(self.family.sentence)}\n{tag}"
        answer = f"\n    return {expression}"
        expected = zip(self.family.inputs, outcomes(self.right, self.family.inputs), strict=True)
        about = {
            "task_id": self.task_id,
            "opening": f"def f(x):\n{question}",
            "reference": answer,
            "prelude": "",
            "tests": "".join(f"assert f({given!r}) == {value!r}\n" for given, value in expected),
            "entry_points": ["f"],
            "correct": tag == RIGHT,
        }
        return Example(question, answer, about)


def outcomes(expression: str, inputs: tuple[Any, ...]) -> list[Any]:
    """Values of an expression of this file for every x; an error's type where there is none."""
    found: list[Any] = []
    function = eval(f"lambda x: {expression}")  # text of this file, with numbers or letters filled in
    for given in inputs:
        try:
            found.append(function(given))
        except Exception as error:
            found.append(type(error).__name__)
    return found
