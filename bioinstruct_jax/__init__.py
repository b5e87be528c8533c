"""Instruction tuning of LLaMA for biomedical language processing, native to JAX and TPU."""


def __getattr__(name: str) -> str:
    """`__version__`, read from the installed package's metadata when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("bioinstruct-jax")
