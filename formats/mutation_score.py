"""Mutation score of the conformance vectors: `python formats/mutation_score.py [--sample N] [--seed N]`.

A mutant is the independent reader with one small change: a constant one more or less, another comparison or operator, a
negated condition, a dropped statement. A vector kills a mutant if the mutant reads it differently: another result,
another class of error, a crash, or too much time. A survivor shows a rule that no vector tests, or a change that makes
no difference. `mutation_explained.json` explains the known survivors.

Each mutant runs in a child process, over the vectors that execute the changed line, the quickest first.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import signal
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

HERE = Path(__file__).resolve().parent
MODULES = ("read_range", "read_motion", "read_inter", "read_dfc")  # in the order of their imports
EXPLAINED = HERE / "mutation_explained.json"
SLOW = {"uncommon/motion-batches": "BATCH_BLOCKS"}  # vectors of many seconds, and the word in the lines they are for
TYPE_ALIASES = ("Item", "Place", "Block", "Vector", "Record")
MAX_MEMORY = 6 << 30
Coverage = dict[tuple[str, int], list[str]]

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==", ast.In: "not in",
    ast.NotIn: "in",
}  # fmt: skip
OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "//", ast.FloorDiv: "*", ast.Mod: "*", ast.LShift: ">>", ast.RShift: "<<",
    ast.BitAnd: "|", ast.BitOr: "&", ast.BitXor: "|", ast.Pow: "*",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A change of one line: the module, the line as it was and as it is now."""

    module: str
    line: int
    before: str
    after: str
    source: str

    @property
    def key(self) -> str:
        """Names the mutant in `mutation_explained.json`; line numbers may change."""
        return f"{self.module}: {self.before} -> {self.after}"


def mutants(module: str) -> Iterator[Mutant]:
    """All mutants of a module."""
    source = (HERE / f"{module}.py").read_text(encoding="utf-8")
    lines = source.split("\n")
    seen = set()
    for node in walk(ast.parse(source)):
        for first, start, last, end, text in edits(node, source):
            if first != last:
                continue
            line = lines[first - 1]
            # Columns of the syntax tree count bytes.
            changed = (line.encode()[:start] + text.encode() + line.encode()[end:]).decode()
            if changed == line or (first, changed) in seen:
                continue
            seen.add((first, changed))
            whole = "\n".join([*lines[: first - 1], changed, *lines[first:]])
            yield Mutant(module, first, line.strip(), changed.strip(), whole)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that decide what is read: no types, and no command line."""
    if isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
        return
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in TYPE_ALIASES:
        return
    yield node
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST):
                yield from walk(child)


def edits(node: ast.AST, source: str) -> Iterator[tuple[int, int, int, int, str]]:
    """Changes of a node: first line and column, last line and column, new text."""

    def at(part: Any) -> tuple[int, int, int, int]:
        return part.lineno, part.col_offset, part.end_lineno, part.end_col_offset

    def text(part: ast.AST) -> str:
        return ast.get_source_segment(source, part) or ""

    if isinstance(node, ast.Constant) and type(node.value) is int:
        yield *at(node), str(node.value + 1)
        if node.value > 0:
            yield *at(node), str(node.value - 1)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        yield *at(node), f"{text(node.left)} {COMPARISONS[type(node.ops[0])]} {text(node.comparators[0])}"
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield *at(node), f"({text(node.left)}) {OPERATORS[type(node.op)]} ({text(node.right)})"
    elif isinstance(node, ast.BoolOp):
        word = " or " if isinstance(node.op, ast.And) else " and "
        yield *at(node), word.join(f"({text(value)})" for value in node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield *at(node), f"({text(node.operand)})"
    elif isinstance(node, ast.IfExp | ast.If | ast.While):
        yield *at(node.test), f"not ({text(node.test)})"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        yield *at(node.func), "max" if node.func.id == "min" else "min"
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.Raise) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Yield)
    ):
        yield *at(node), "pass"


def load(changed: Mutant | None = None) -> types.ModuleType:
    """The reader, with one of its modules changed."""
    for name in MODULES:
        path = HERE / f"{name}.py"
        source = changed.source if changed and changed.module == name else path.read_text(encoding="utf-8")
        module = types.ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module
        exec(compile(source, str(path), "exec"), module.__dict__)
    return sys.modules["read_dfc"]


def result(reader: types.ModuleType, data: bytes) -> Any:
    """What the reader finds, or its class of error."""
    try:
        return reader.read(data)
    except reader.Refused as error:
        return str(error.args[1])
    except (ValueError, RecursionError, zstandard.ZstdError):
        return "damaged"


def all_vectors() -> dict[str, tuple[bytes, Any]]:
    """Name -> bytes and the result that is expected."""
    out: dict[str, tuple[bytes, Any]] = {}
    for path in sorted((HERE / "vectors").glob("*/*.dfc")):
        expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        expected.pop("note")
        folder = path.parent.name
        want = expected["error"] if folder == "faulty" else "refused" if folder == "damaged" else expected
        out[f"{folder}/{path.stem}"] = path.read_bytes(), want
    return out


def covered(vectors: dict[str, tuple[bytes, Any]]) -> tuple[Coverage, dict[str, float]]:
    """The vectors that execute each line of the reader, the quickest first, and the time each takes."""
    lines: dict[str, set[tuple[str, int]]] = {}
    times: dict[str, float] = {}

    def tracer(frame: types.FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(str(HERE)):
            return None
        if event == "line":
            hits.add((Path(frame.f_code.co_filename).stem, frame.f_lineno))
        return tracer

    reader = load()
    for name, (data, want) in vectors.items():
        if name in SLOW:
            times[name] = 60.0
            continue
        start = time.process_time()
        found = result(reader, data)
        times[name] = time.process_time() - start
        assert found == want or (want == "refused" and isinstance(found, str)), name
        hits: set[tuple[str, int]] = set()
        sys.settrace(tracer)
        result(reader, data)
        sys.settrace(None)
        lines[name] = hits
    out: Coverage = {}
    for name in sorted(lines, key=lambda name: times[name]):
        for line in lines[name]:
            out.setdefault(line, []).append(name)
    return out, times


def survives(mutant: Mutant, vectors: dict[str, tuple[bytes, Any]], names: list[str], limit: float) -> bool:
    """Whether a mutant reads all these vectors as expected. It runs in a child process."""
    child = os.fork()
    if not child:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
            signal.setitimer(signal.ITIMER_REAL, limit)  # SIGALRM ends the process
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), 2)
            reader = load(mutant)
            status = 0
            for name in names:
                data, want = vectors[name]
                found = result(reader, data)
                if found != want and not (want == "refused" and isinstance(found, str)):
                    status = 1
                    break
        except BaseException:
            status = 1
        finally:
            os._exit(status)
    _, code = os.waitpid(child, 0)
    return code == 0


def relevant(mutant: Mutant, coverage: Coverage, order: list[str]) -> list[str]:
    """The vectors that can tell a mutant from the reader."""
    names = coverage.get((mutant.module, mutant.line), [])
    tree = ast.parse((HERE / f"{mutant.module}.py").read_text(encoding="utf-8"))
    spans = [
        (n.lineno, n.end_lineno or 0, n.body[0].lineno)
        for n in ast.walk(tree)
        if isinstance(n, ast.FunctionDef | ast.Lambda) and isinstance(n, ast.FunctionDef)
    ]
    inside = any(body <= mutant.line <= last for _, last, body in spans)
    if not inside or not names:  # a table, or a later line of a statement
        reached = {name for (module, _), found in coverage.items() if module == mutant.module for name in found}
        names = [name for name in order if name in reached]
    return names + [name for name, word in SLOW.items() if word in mutant.before]


def main() -> None:
    """Run mutants, print a report, and fail below 95 % killed or explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, help="number of mutants, drawn at random; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: 1)")
    parser.add_argument("--module", choices=MODULES, help="mutants of one module only")
    options = parser.parse_args()
    vectors = all_vectors()
    coverage, times = covered(vectors)
    order = sorted((name for name in times if name not in SLOW), key=lambda name: times[name])
    every = [mutant for module in MODULES if options.module in (None, module) for mutant in mutants(module)]
    if options.sample and options.sample < len(every):
        every = random.Random(options.seed).sample(every, options.sample)
    explained: dict[str, str] = json.loads(EXPLAINED.read_text(encoding="utf-8")) if EXPLAINED.exists() else {}
    start, alive = time.time(), []
    for number, mutant in enumerate(every, 1):
        names = relevant(mutant, coverage, order)
        limit = 5 + 5 * sum(times[name] for name in names)
        if survives(mutant, vectors, names, limit):
            alive.append(mutant)
            print(f"survives: {mutant.module}.py:{mutant.line}: {mutant.key}", flush=True)
            print(f"    {explained.get(mutant.key, 'NOT EXPLAINED')}", flush=True)
        if number % 100 == 0:
            print(f"{number} of {len(every)}, {len(alive)} alive, {time.time() - start:.0f} s", file=sys.stderr)
    known = sum(mutant.key in explained for mutant in alive)
    killed = len(every) - len(alive)
    share = (killed + known) / len(every)
    print(f"{len(every)} mutants: {killed} killed ({killed / len(every):.1%}), {len(alive)} alive, {known} explained")
    print(f"killed or explained: {share:.1%}")
    sys.exit(share < 0.95)


if __name__ == "__main__":
    main()
