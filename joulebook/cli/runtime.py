"""Runtimes: one request alone, fits to measurements, profiles, recorded calls beside the yardstick, the frontier."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError, NotFound
from joulebook.cli.commands import answer, asked, home_of, ledger_of, print_json

if TYPE_CHECKING:
    from joulebook.models.runtime.answer import Idealized, Request
    from joulebook.models.runtime.compare import Basis
    from joulebook.models.runtime.denoise import Denoised
    from joulebook.models.runtime.profile import Hardware, Profile
    from joulebook.reports.view import View

OUTCOMES = ("runtime_s", "prompt_s", "per_output_token_s", "gpu_seconds", "energy_wh", "cost_usd", "denoised_runtime_s")


def idealized(args: argparse.Namespace) -> int:
    """One request by a profile, or by the roofline. A model that nobody knows is not found."""
    from joulebook.models.runtime.answer import Request
    from joulebook.reports import views

    request = Request(args.model, args.prompt_tokens, args.output_tokens, args.batch, args.hardware)
    told = _told(request, args)
    if args.json:
        print_json(_idealized_json(told))
        return 0
    return answer(args, views.idealized(told))


def _told(request: Request, args: argparse.Namespace) -> Idealized:
    from joulebook.models.runtime.answer import idealized
    from joulebook.models.runtime.store import known

    if args.mode != "roofline":
        return idealized(request, known(home_of(args)), args.mode)
    from joulebook.models.roofline import catalogue
    from joulebook.models.runtime.by_roofline import by_roofline

    return by_roofline(request, catalogue.find(request.model))


def _idealized_json(told: Idealized) -> dict[str, Any]:
    request = told.request
    return {
        "model": request.model,
        "prompt_tokens": request.prompt_tokens,
        "output_tokens": request.output_tokens,
        "batch": request.batch,
        "mode": told.mode,
        "profile": told.profile,
        "hardware": told.hardware or None,
        "gpus": told.gpus,
        "software": told.software or None,
        **{name: getattr(told, name) for name in OUTCOMES},
        "extrapolated": bool(told.extrapolated),
        "extrapolated_in": told.extrapolated,
        "notes": told.notes,
        "sources": told.sources,
    }


# Fits -------------------------------------------------------------------------------------------------------------


def fit(args: argparse.Namespace) -> int:
    """A profile from measurements. Nothing is written where they cannot tell one."""
    from joulebook.models.runtime.fit import fit as ours
    from joulebook.models.runtime.profile import Origin, Software
    from joulebook.models.runtime.samples import read
    from joulebook.models.runtime.two_stage import two_stage
    from joulebook.reports import views

    path = Path(args.file)
    samples = read(path, args.model, args.batch)
    model = args.model or samples.model
    if not model:
        raise InputError(f"{path} does not say whose times these are: name the model with --model")
    told = (two_stage if args.method == "paper" else ours)(samples, model)
    about = {"hardware": _hardware(args), "software": Software(args.software), "batch": samples.batch}
    profile = replace(told, **about, origin=Origin(f"fitted to {path.name}, method {args.method}"))
    _written(args, profile)
    if args.json:
        print_json(_profile_json(profile) | {"left_out": samples.left_out, "out": args.out})
        return 0
    return answer(args, views.profile(profile))


def _hardware(args: argparse.Namespace) -> Hardware:
    """The machine, by the catalogue's name and with its TDP where that knows it."""
    from joulebook.models.roofline.hardware import known_as
    from joulebook.models.runtime.profile import Hardware

    device = known_as(args.hardware)
    name, tdp_w = (device.name, device.tdp_w) if device else (args.hardware, None)
    return Hardware(name, args.gpus, tdp_w, args.usd_per_gpu_hour)


def _written(args: argparse.Namespace, profile: Profile) -> None:
    from joulebook.models.runtime import store

    if args.out:
        store.write(profile, Path(args.out))
    if args.keep:
        store.keep(home_of(args), profile)


def _profile_json(profile: Profile) -> dict[str, Any]:
    from joulebook.models.runtime.profile import as_json

    return {"profile": profile.profile_id, **as_json(profile)}


def denoise(args: argparse.Namespace) -> int:
    """What APIs would take without contention; refuses where requests cannot tell anything."""
    from joulebook.reports import views

    found = _denoised(args)
    if found and all(each.refused and not each.per_output_token_s.known for each in found):
        raise InputError("; ".join(f"{each.model} cannot be denoised: {each.refused}" for each in found))
    told = [each.profile for each in found if each.profile]
    if (args.out or args.keep) and len(told) != 1:
        raise InputError(f"--out and --keep need one model with a profile, and there are {len(told)}; see --model")
    for profile in told if args.out or args.keep else ():
        _written(args, profile)
    view = views.denoised(found)
    if args.json:
        print_json(view.rows)
        return 0
    return answer(args, view)


def _denoised(args: argparse.Namespace) -> list[Denoised]:
    from joulebook.models.runtime.denoise import denoise as quiet
    from joulebook.models.runtime.samples import read

    if args.file:
        path = Path(args.file)
        samples = read(path, args.model)
        return [quiet(samples, args.model or samples.model or path.stem)]
    from joulebook.models.runtime.recorded import recorded

    ledger, period = ledger_of(args), asked(args)
    calls = recorded(ledger, period.start, period.end, args.project)
    wanted = [model for model in calls if args.model in (None, model, model.rpartition("/")[2])]
    if args.model and not wanted:
        raise NotFound(f"no call of {args.model!r} that counts is on record for {period.label}")
    return [quiet(calls[model], model) for model in wanted]


# Profiles ---------------------------------------------------------------------------------------------------------


def profiles(args: argparse.Namespace) -> int:
    """The profiles that there are, one of them, or one more."""
    if args.action == "list":
        return _list(args)
    if not args.name:
        raise InputError(f"profiles {args.action} needs {'a model' if args.action == 'show' else 'a file'}")
    return (_show if args.action == "show" else _import)(args)


def _list(args: argparse.Namespace) -> int:
    from joulebook.models.runtime import store
    from joulebook.models.runtime.published import published
    from joulebook.reports import views

    return answer(args, views.profiles(store.local(home_of(args)), published()))


def _show(args: argparse.Namespace) -> int:
    from joulebook.models.runtime import store
    from joulebook.reports import views

    known = store.known(home_of(args))
    found = [each for each in known if each.profile_id == args.name] or store.of_model(known, args.name)
    if not found:
        raise store.no_profile(known, args.name)
    if args.json:
        print_json([_profile_json(each) for each in found])
        return 0
    for each in found:
        answer(args, views.profile(each))
    return 0


def _import(args: argparse.Namespace) -> int:
    from joulebook.models.runtime import store

    profile = store.read(Path(args.name))
    is_new = store.keep(home_of(args), profile)
    if args.json:
        print_json({"profile": profile.profile_id, "is_new": is_new})
    else:
        print(f"{profile.profile_id} {'is now in the home' if is_new else 'was in the home already'}.")
    return 0


# Comparisons ------------------------------------------------------------------------------------------------------


def normalised(args: argparse.Namespace) -> int:
    from joulebook.reports import views

    return answer(args, views.normalised(ledger_of(args), asked(args), args.project, _basis(args)))


def frontier(args: argparse.Namespace) -> int:
    from joulebook.models.runtime.tables import qualities
    from joulebook.reports import views

    some = qualities(Path(args.quality)) if args.quality else []
    view = views.frontier(ledger_of(args), asked(args), args.metric, some, _basis(args))
    if args.json:
        print_json(_frontier_json(view))
        return 0
    return answer(args, view)


def _frontier_json(view: View) -> dict[str, Any]:
    return {"systems": view.rows, **{part.key: part.rows for part in view.parts}, "notes": view.notes}


def _basis(args: argparse.Namespace) -> Basis:
    from joulebook.models.runtime.compare import Basis, Mix
    from joulebook.models.runtime.store import known
    from joulebook.models.runtime.tables import texts

    mix = Mix(args.prompt_tokens, args.output_tokens)
    some = texts(Path(args.texts)) if args.texts else {}
    return Basis(known(home_of(args)), args.mode, args.hardware, mix, some)
