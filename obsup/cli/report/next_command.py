"""From the next step of an error to the text after "Next:" with a complete command line that is ready to run."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from obsup.errors import NextStep, ObsupError, WrongUsage, run_again
from obsup.local.platform.paths import HAS_POSIX_TOOLS
from obsup.text import shell_line, without_url_secrets
from obsup.units import counted
from obsup.vendor_names import PROVIDERS


class ResumeCommand(NamedTuple):
    """The command line that resumes failed work. ``is_piped``: a pipe has to write the stream into it again.

    ``keeps_parts``: it does not send again what is stored. ``variables`` are the environment variables of options that
    are set, and ``configured`` the options, as parameters, that the configuration file sets, each with the place there.
    ``restarts``: --restart was given; it is not one of ``words``.
    """

    words: tuple[str, ...]
    is_piped: bool = False
    keeps_parts: bool = True
    variables: frozenset[str] = frozenset()
    configured: Mapping[str, str] = MappingProxyType({})
    restarts: bool = False

    @property
    def instruction(self) -> str:
        """What to do if the command line has to be run again without a change."""
        if not self.is_piped:
            return "run the same command again"
        if self.keeps_parts:
            return "run the same pipe again"
        return "run the whole pipe again from its beginning (--checkpoint FILE would make it resumable)"

    @property
    def has_secret(self) -> bool:
        """Whether it contains a presigned URL or a login, so that no message may show it."""
        return _have_secret(self.words)

    def from_the_start(self) -> ResumeCommand:
        """Return the command line of a run that has stored nothing: it still has --restart, if that was given."""
        return self._replace(
            words=tuple(changed(list(self.words), NextStep(add=("--restart",)))), restarts=False
        )

    def text(self, words: Iterable[str]) -> str:
        """Return *words*, which are those of this command or a change of it, as the user runs them."""
        return ("… | " if self.is_piped else "") + shell_line(words)


def resume_command(
    argv: Iterable[str],
    *,
    is_piped: bool = False,
    keeps_parts: bool = True,
    environment: Mapping[str, str] = os.environ,
) -> ResumeCommand:
    """Return the command line *argv*, without the program's name, without --restart, which would discard progress."""
    given = list(argv)
    words = ("obsup", *_without(given, "--restart", has_value=False))
    variables = frozenset(name for name, value in environment.items() if name.startswith("OBSUP_") and value)
    restarts = len(words) <= len(given)
    # --version does not need the options.
    from obsup.cli.arguments.settings import configured_options

    return ResumeCommand(words, is_piped, keeps_parts, variables, configured_options(), restarts)


def next_step(error: ObsupError, resume: ResumeCommand | None) -> NextStep | None:
    """Return what to do after *error*: its own next step, or to run the command again if that may help.

    After an invalid command line, --restart stays if it was given: nothing has been started over.
    """
    may_rerun = error.retryable and resume is not None
    step = error.next_step or (run_again() if may_rerun else None)
    is_kept = resume is not None and resume.restarts and isinstance(error, WrongUsage)
    if step is None or not step.rerun or not is_kept or "--restart" in step.add:
        return step
    return step._replace(add=(*step.add, "--restart"))


def shown_command(error: ObsupError, resume: ResumeCommand | None) -> str:
    """Return the command line of the "Next:" line of *error* that runs the command again.

    "" if it has none, if only a pipe can run it, or if it does something else: replaces or discards what exists.
    """
    step = next_step(error, resume)
    resume = _showable(resume)
    step = _fitting(step, resume) if step is not None else None
    words = _command(step, resume) if step is not None and step.rerun else []
    is_changed = resume is not None and (
        resume.is_piped or (step is not None and _to_remove(step, resume) != "")
    )
    return shell_line(words) if words and not is_changed else ""


def next_line(
    step: NextStep, resume: ResumeCommand | None, stored: tuple[int, int | None] = (0, None)
) -> str:
    """Return the text after "Next:", with the command line to run at its end if there is one.

    *stored* counts the parts that the store holds, and all parts.
    """
    resume = _showable(resume)
    step = _fitting(step, resume)
    words = _command(step, resume)
    text = capitalised(_instruction(step, resume))
    keeps_parts = resume is not None and resume.keeps_parts and "--restart" not in step.add
    count, total = stored
    if step.rerun and count and keeps_parts:
        parts = counted(count, "part") if total is None else f"{count} of {counted(total, 'part')}"
        text = f"{text} ({parts} {'is' if count == 1 else 'are'} stored and will not be sent again)"
    elif step.rerun and not step.text and total is not None and total > 1 and keeps_parts:
        text = f"{text} (none of the {total} parts is stored yet)"
    removed = _to_remove(step, resume) if resume is not None else ""
    if removed:
        text = f"{text} (first remove {removed})"
    if not words or _have_secret(words):
        return sentence(text)
    return f"{text}: {resume.text(words) if resume is not None and step.rerun else shell_line(words)}"


def _have_secret(words: Iterable[str]) -> bool:
    return any(without_url_secrets(word) != word for word in words)


def _showable(resume: ResumeCommand | None) -> ResumeCommand | None:
    return None if resume is None or resume.has_secret else resume


def _fitting(step: NextStep, resume: ResumeCommand | None) -> NextStep:
    """Return *step* without the options that the command does not have; --restart stays, to be given to ``upload``.

    The step that names what helps otherwise is that, also if the option was given already.
    """
    if resume is not None and step.otherwise and (_is_given(step, resume) or not _accepts(resume, step)):
        return step._replace(text=step.otherwise, add=())
    if resume is None or "--restart" in step.add or not step.text or _accepts(resume, step):
        return step
    return step._replace(add=())


def _is_given(step: NextStep, resume: ResumeCommand) -> bool:
    """Return whether the command has the option and the value that *step* adds."""
    without = changed(list(resume.words), NextStep(drop=step.add[:1]))
    return step.add[-1] in Counter(resume.words) - Counter(without)


def _instruction(step: NextStep, resume: ResumeCommand | None) -> str:
    """Return what to do, as text before the command line or, without *resume*, instead of it."""
    if resume is not None and not _accepts(resume, step):
        return f"{step.text or 'start over'} (obsup upload {shell_line(step.add)})"
    if not step.rerun or (resume is not None and (step.add or step.drop)):
        return step.text or "run"
    again = resume.instruction if resume is not None else "run the same command again"
    changes = [f"without {name}" for name in step.drop] + [f"with {shell_line(step.add)}"] * bool(step.add)
    if changes:
        again = f"{again} ({', '.join(changes)})"
    if not step.text:
        return again
    return f"{step.text}, then {'run' if resume is not None else again}"


def _command(step: NextStep, resume: ResumeCommand | None) -> list[str]:
    """Return the words of the command line that *step* asks to run, [] if it asks for none."""
    if step.command:
        return with_given_options(step.command, resume.words[1:] if resume is not None else ())
    if not step.rerun or resume is None or not _accepts(resume, step):
        return []
    variables = _set_elsewhere(step, resume)[0] if HAS_POSIX_TOOLS else []
    unset = ["env", *(word for name in variables for word in ("-u", name))] if variables else []
    return [*unset, *changed(list(resume.words), step)]


def _to_remove(step: NextStep, resume: ResumeCommand) -> str:
    """Return the settings, beside the command line, that no command line can change, or an empty text."""
    variables, places = _set_elsewhere(step, resume)
    file = f"{' and '.join(places)} in the configuration file" if places else ""
    # cmd.exe and PowerShell have no env -u.
    environment = f"{' and '.join(variables)} in the environment" if variables and not HAS_POSIX_TOOLS else ""
    return " and ".join(filter(None, (environment, file)))


def _set_elsewhere(step: NextStep, resume: ResumeCommand) -> tuple[list[str], list[str]]:
    """Return what sets, beside the command line, the options without which *step* runs the command again.

    These are the environment variables, and the keys in the configuration file with their place there.
    """
    if not step.rerun or not (resume.variables or resume.configured):
        return [], []
    from obsup.options.table import rows_named

    options = [one for one in (*step.drop, "--restart") if one not in step.add]
    rows = [row for one in options for row in rows_named(one) if resume.words[1] in row.commands]
    variables = [row.environment for row in rows if row.environment in resume.variables]
    return variables, [
        f"{row.key} from {resume.configured[row.parameter]}"
        for row in rows
        if row.parameter in resume.configured
    ]


def with_given_options(words: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the command line *words* with the options of connection and encryption of the arguments *given*.

    It then reaches the same store as the command that was given, and publishes nothing in clear that that encrypts.
    """
    if words[0] != "obsup" or len(words) < 2 or not given:
        return list(words)
    from obsup.options.connection_rows import CONNECTION
    from obsup.options.object_rows import ENCRYPTION

    rows = {
        spelling: row
        for row in (*CONNECTION, *ENCRYPTION)
        if {words[1], given[0]} <= set(row.commands)
        for spelling in row.spellings
    }
    options: list[str] = []
    schemed = [word.partition("://") for word in given if "://" in word]
    following = iter(given[: given.index("--")] if "--" in given else given)
    for word in following:
        row = rows.get(word.partition("=")[0])
        if row is not None:
            options.append(word)
            options += [next(following, "")] if row.kind.name != "flag" and "=" not in word else []
    return [_with_scheme(word, schemed) for word in words] + options


def _with_scheme(word: str, schemed: list[tuple[str, str, str]]) -> str:
    """Return the target *word* with the scheme of the given target that it is, or is below."""
    schemes = (
        scheme for scheme, _, rest in schemed if scheme in PROVIDERS and rest and word.startswith(rest)
    )
    scheme = next(schemes, None)
    return word if scheme is None else f"{scheme}://{word}"


def _accepts(resume: ResumeCommand, step: NextStep) -> bool:
    """Return whether the command has the options that *step* adds: --restart, for example, is not one of ``parts``."""
    command = resume.words[1] if len(resume.words) > 1 else ""
    from obsup.options.table import rows_named

    added = [word for word in step.add if word.startswith("--")]
    return all(any(command in row.commands for row in rows_named(one)) for one in added)


def capitalised(text: str) -> str:
    """Return *text* with a capital first letter."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """Return *text* with a full stop, unless it ends in punctuation or in a command line."""
    return text if text.endswith((".", "?", "…")) or re.search(r"[:|] obsup ", text) else f"{text}."


def changed(words: list[str], step: NextStep) -> list[str]:
    """Return the command line *words* with the words that *step* adds, without what it drops or replaces."""
    # Imported here because most commands do not fail.
    from obsup.options.table import exclusive_options, rows_named

    added = [word for word in step.add if word.startswith("--")]
    for option in [*step.drop, *added, *(other for one in added for other in exclusive_options(one))]:
        rows = rows_named(option)
        has_value = all(row.kind.name != "flag" for row in rows)
        for name in {option, *(spelling for row in rows for spelling in row.spellings[:-1])}:
            words = list(_without(words, name, has_value=has_value))
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *step.add, *words[end:]]


def _without(words: list[str], name: str, *, has_value: bool) -> Iterator[str]:
    """Yield *words* without the option *name* and its value; words after ``--`` are not options of obsup."""
    is_value = False
    for index, word in enumerate(words):
        if word == "--":
            yield from words[index:]
            return
        if is_value:
            is_value = False
        elif word == name:
            is_value = has_value
        elif not word.startswith(f"{name}="):
            yield word
