"""`dfc`: builds the command line and turns errors into messages and exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from dfccodec.cli.names import advice, command_advice, protect_file_names, with_current_names
from dfccodec.cli.terminal import replace_unencodable
from dfccodec.errors import OUT_OF_MEMORY, DfcError
from dfccodec.runtime.signals import raise_interrupt
from dfccodec.runtime.working_folder import DELETED, exists, import_torch
from dfccodec.terminal_text import escape_for_terminal
from dfccodec.version import __version__

VERBS = (
    "encode", "decode", "inspect", "verify", "trim", "recover", "pack", "compare", "thumbnail", "generate",
    "train", "models", "doctor",
)  # fmt: skip

WITH_TORCH = ("encode", "decode", "compare", "thumbnail", "generate", "train", "models")
"""Verbs that may load torch."""

EXAMPLES = {
    "encode": "in.mp4 -o out.dfc",
    "decode": "in.dfc -o out.mp4",
    "inspect": "in.dfc",
    "verify": "in.dfc",
    "trim": "in.dfc -o small.dfc --budget 4",
    "compare": "in.mp4 out.dfc",
    "thumbnail": "in.dfc -o thumb.png",
    "recover": "damaged.dfc -o whole.dfc",
    "pack": "folder -o shards",
}
"""Example arguments of the verbs that need an input."""


def build(arguments: Sequence[str]) -> typer.Typer:
    """Build the application with the verb named in `arguments`, or with all verbs.

    Importing one verb instead of all makes the start a fifth faster for `dfc inspect` (benchmarks/speed/startup.py).
    """
    app = typer.Typer(
        name="dfc",
        help="A learned video codec that keeps only the frames that pay for their bits.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    named = [arguments[0]] if arguments and arguments[0] in VERBS else VERBS
    for verb in named:
        module = importlib.import_module(f"dfccodec.cli.{verb}")
        if verb == "models":
            app.add_typer(module.app, name=verb, help="The models on this machine and how to get others.")
        else:
            app.command(verb, epilog=getattr(module, "EPILOG", None))(getattr(module, verb))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"dfc {__version__}\n")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# Newer typer carries its own copy of click, older typer imports click: the class both show is reached from theirs.
_COMMAND_LINE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _completion_words() -> list[str]:
    """The command line so far if a shell asks for completion."""
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or "").split()[1:]


def main(arguments: list[str] | None = None) -> int:
    """Run a command line and return the exit code; never raises."""
    arguments = with_current_names(protect_file_names(sys.argv[1:] if arguments is None else arguments))
    try:
        if arguments and arguments[0] in WITH_TORCH:
            import_torch()
        app = build(_completion_words() if "_DFC_COMPLETE" in os.environ else arguments)
        code = app(arguments, prog_name="dfc", standalone_mode=False)
        if code == 130:  # typer returns this after Ctrl-C
            return _fail("interrupted", 130)
        return code if isinstance(code, int) else 0
    except typer.Abort:
        return _fail("interrupted", 130)
    except _COMMAND_LINE_ERROR as error:
        # The message repeats arguments, which may be untrusted file names.
        error.message = escape_for_terminal(_with_advice(error, arguments))
        error.show()
        return 2
    except DfcError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of the pipe has closed it, as with `| head`; avoid an error message at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except MemoryError:
        return _fail(OUT_OF_MEMORY, 1)
    except (ImportError, RuntimeError) as error:
        if not (why := _library_error(error)):
            raise
        return _fail(why, 1)
    except OSError as error:
        return _fail(_system_error(error), 1)


_NO_MEMORY = re.compile(
    r"failed to map segment|cannot allocate memory|can't allocate memory|not enough memory|can't start new thread"
    r"|std::bad_alloc",
    re.IGNORECASE,
)
"""Messages of loaders and libraries when memory is short."""


def _library_error(error: ImportError | RuntimeError) -> str:
    """Message for a library that does not load or run; empty if the error is a bug of dfc."""
    text = " ".join(str(error).split())[:200]
    if _NO_MEMORY.search(text):
        what = "loading torch" if isinstance(error, ImportError) else "this"
        return f"out of memory: {what} needs more memory than this process may use ({text}); dfc needs about 1.5 GB"
    if isinstance(error, ImportError) and not (error.name or "").startswith("dfccodec"):
        return f"a library does not load ({text}): reinstall dfccodec in its own environment"
    return ""


def _system_error(error: OSError) -> str:
    """Message for a system error, with the file and a fix."""
    if error.errno == errno.ENOENT and not error.filename and not exists():
        return DELETED
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = f"{error.filename or ('the output' if full else 'system')}: {error.strerror or error}"
    if full:
        return f"cannot write {text}; free some space there, or name another output"
    return f"out of memory: {text}" if error.errno == errno.ENOMEM else text


def _with_advice(error: Any, arguments: Sequence[str]) -> str:
    """Message for a command-line error, with advice for unknown verbs and options."""
    message, option = str(error.message), getattr(error, "option_name", None)
    if message.startswith("No such command") and (words := [a for a in arguments if not a.startswith("-")]):
        return f"No such command '{words[0]}'; {command_advice(words[0], VERBS)}"
    if type(error).__name__ == "MissingParameter":  # typer adds the rest of the message
        return next((f"As in: dfc {verb} {EXAMPLES[verb]}" for verb in arguments if verb in EXAMPLES), message)
    if not option or getattr(error, "ctx", None) is None or not message.startswith("No such option"):
        return message
    known = [name for parameter in error.ctx.command.params for name in parameter.opts if name.startswith("--")]
    error.possibilities = None  # dfc has its own advice
    typed = next((a for a in arguments if a.startswith(option)), option).partition("=")[0]
    fix = advice(typed, known)
    if not fix and not typed.startswith("--"):
        fix = "a file name that begins with a dash is written ./-NAME, or comes after --"
    fix = fix or "dfc -h and the -h of a verb list the options"
    return f"No such option: {typed}; {fix}"


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"dfc: error: {escape_for_terminal(' '.join(text.split()))}\n")
    return code


def _open_missing() -> None:
    """Open closed standard streams on the null device.

    Otherwise the next file to be opened would get the descriptor, and messages would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or open(0, closefd=False)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)


GOMP_SPINCOUNT = 10_000
"""Spin count of OpenMP threads before they sleep. The default of libgomp is 30 times larger. That is as fast on an idle
machine, but with another program on one of two cores an encode took over a minute instead of nine seconds, because
waiting threads occupied the core of the thread they waited for (benchmarks/speed/cpu_contention.py)."""


def limit_openmp_spin() -> None:
    """Limit OpenMP spin-waiting. Call this before torch is imported, because torch loads libgomp.

    Does nothing if `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` is set.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(GOMP_SPINCOUNT)


def run() -> None:
    """Entry point of the console script."""
    _open_missing()
    replace_unencodable()
    limit_openmp_spin()
    signal.signal(signal.SIGTERM, raise_interrupt)
    code = main()
    # CPython remembers a KeyboardInterrupt that passed through exec(), which dataclasses use. `python -m` then ends by
    # SIGINT instead of the exit code, although the exception was handled. Another exec() clears that.
    exec("")
    sys.exit(code)
