"""Profiles of the home, and which one is meant by the name of a model.

    <home>/profiles/<hash of its content>.json     one a file, never edited; the newest of a model counts

A name is looked for as it stands, in any case, else without its maker or its host (`davinci` for `openai/davinci`, and
`my-host/davinci`, too: it is the same model). One's own profile stands before a published one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.near import near
from joulebook.models.runtime.profile import Profile, as_json, from_text
from joulebook.models.runtime.published import published


def folder(home: Path) -> Path:
    return home / "profiles"


def read(path: Path) -> Profile:
    """A profile from a file. Raises InputError when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InputError(f"{path} cannot be read: {why}") from error
    return from_text(text, str(path))


def local(home: Path) -> tuple[Profile, ...]:
    """The profiles of a home, the newest first. Raises InputError when one of them was damaged."""
    found = [read(path) for path in sorted(folder(home).glob("*.json"))]
    return tuple(sorted(found, key=lambda profile: profile.created_at, reverse=True))


def write(profile: Profile, path: Path) -> None:
    """Write a profile, whole or not at all. Raises InputError for one that could not be read again."""
    text = json.dumps(as_json(profile), indent=2, ensure_ascii=False) + "\n"
    from_text(text, f"the profile of {profile.model!r}")
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def keep(home: Path, profile: Profile) -> bool:
    """Put a profile into the home; False when it is there already."""
    path = folder(home) / f"{profile.profile_id.rpartition('/')[2]}.json"
    if path.exists():
        return False
    write(profile, path)
    return True


def known(home: Path) -> tuple[Profile, ...]:
    """All profiles, in the order in which they are looked at: one's own, then the published ones."""
    return (*local(home), *published())


def of_model(profiles: Iterable[Profile], model: str) -> tuple[Profile, ...]:
    """The profiles of a model by its name; none where nobody has one."""
    wanted, some = model.strip().casefold(), tuple(profiles)
    whole = tuple(each for each in some if each.model.casefold() == wanted)
    bare = wanted.rpartition("/")[2]
    return whole or tuple(each for each in some if each.model.casefold().rpartition("/")[2] == bare)


def on_hardware(profiles: Iterable[Profile], hardware: str) -> tuple[Profile, ...]:
    """Those that ran on a device whose name has all words of another: `a100 80gb` finds `A100 SXM4 80GB`."""
    words = _words(hardware)
    return tuple(each for each in profiles if words and all(word in _words(each.hardware.device) for word in words))


def _words(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in name.casefold()).split()


def no_profile(profiles: Sequence[Profile], model: str) -> NotFound:
    """What to say when a model has no profile, with the names that look most like it."""
    names = sorted({each.model for each in profiles} | {each.model.rpartition("/")[2] for each in profiles})
    likely = near(model, names) or near(model.rpartition("/")[2], names)
    hint = f"did you mean {', '.join(likely)}?" if likely else "`joulebook profiles list` has those that there are."
    return NotFound(f"no profile of the model {model!r} is known; {hint} `joulebook fit` makes one")
