"""joulebook: the ledger of what AI work costs.

    from joulebook import track

    with track("finetune", project="search") as run:
        run.record("token", 4096, "token")

This is the front door of a recording job: it loads nothing before it is asked, and then the standard library only.
The recorder is loaded then too, so that the first span of a job begins at once.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` alone would double the cost of this import
if TYPE_CHECKING:
    from joulebook.collectors.track import configure, track

__version__ = "0.1.0"
__all__ = ["__version__", "configure", "track"]


def __getattr__(name: str) -> object:
    if name in ("configure", "track"):
        from joulebook.collectors import sampler as _  # noqa: F401
        from joulebook.collectors import track as door

        globals().update(configure=door.configure, track=door.track)
        return globals()[name]
    raise AttributeError(f"module 'joulebook' has no attribute {name!r}")


def load_ipython_extension(shell: object) -> None:
    """`%load_ext joulebook`: the cell magic `%%joulebook`."""
    from joulebook.collectors.integrations.jupyter import load_ipython_extension as load

    load(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
