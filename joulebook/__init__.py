"""joulebook: the ledger of what AI work costs.

    from joulebook import track

    with track("finetune", project="search") as run:
        run.record("token", 4096, "token")

    client = openai.OpenAI(http_client=joulebook.http_client())  # its calls are recorded too

This is the front door of a recording job: it loads nothing before it is asked, and then the standard library only.
The recorder is loaded then too, so that the first span of a job begins at once.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` alone would double the cost of this import
if TYPE_CHECKING:
    from joulebook.collectors.api.bedrock import observe_bedrock
    from joulebook.collectors.api.transport import async_http_client, http_client
    from joulebook.collectors.track import configure, track

__version__ = "0.1.0"
__all__ = ["__version__", "async_http_client", "configure", "http_client", "observe_bedrock", "track"]


def __getattr__(name: str) -> object:
    if name in ("configure", "track"):
        from joulebook.collectors import sampler as _  # noqa: F401
        from joulebook.collectors import track as door

        globals().update(configure=door.configure, track=door.track)
        return globals()[name]
    if name in ("async_http_client", "http_client"):
        from joulebook.collectors.api import transport

        globals().update(async_http_client=transport.async_http_client, http_client=transport.http_client)
        return globals()[name]
    if name == "observe_bedrock":
        from joulebook.collectors.api.bedrock import observe_bedrock as observe

        globals().update(observe_bedrock=observe)
        return observe
    raise AttributeError(f"module 'joulebook' has no attribute {name!r}")


def load_ipython_extension(shell: object) -> None:
    """`%load_ext joulebook`: the cell magic `%%joulebook`."""
    from joulebook.collectors.integrations.jupyter import load_ipython_extension as load

    load(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
