"""The settings of a server that is asked, and of what may be spent."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bioinstruct_jax.config import Float, Natural, Positive, config
from bioinstruct_jax.data.guard import is_loopback

Name = Annotated[str, Field(min_length=1)]
_OURS = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "presence_penalty"}
_OURS |= {"frequency_penalty", "response_format", "stream", "stream_options", "n", "best_of"}


@config
class Decoding:
    """How a model decodes; what is null is left to the server."""

    max_tokens: Annotated[Positive, Field(description="most tokens of an answer; the budget reckons with them")] = 4096
    limit_name: Annotated[
        Literal["max_tokens", "max_completion_tokens"], Field(description="what the server calls that limit")
    ] = "max_tokens"
    temperature: Annotated[Float | None, Field(ge=0, le=2, description="null: the server's")] = 1.0
    top_p: Annotated[Float | None, Field(gt=0, le=1, description="null: the server's")] = None
    presence_penalty: Annotated[Float | None, Field(ge=-2, le=2, description="null: the server's")] = None
    frequency_penalty: Annotated[Float | None, Field(ge=-2, le=2, description="null: the server's")] = None
    extra: Annotated[dict[str, Any], Field(description="further keys of the request, as the server names them")] = (
        Field(default_factory=dict)
    )

    @model_validator(mode="after")
    def _further(self) -> "Decoding":
        if taken := sorted(_OURS & self.extra.keys()):
            raise ValueError(
                f"extra: {', '.join(taken)} cannot be given here: the client sets it, or reckons with one whole answer "
                "to each request; what has a key of its own beside `extra` goes there"
            )
        return self


@config
class Price:
    """What tokens cost, in US dollars a million."""

    input: Annotated[Float, Field(ge=0, description="of the prompt")]
    output: Annotated[Float, Field(ge=0, description="of the answer")]
    batch: Annotated[Float, Field(ge=0, le=1, description="of these prices, what the batch API costs")] = 0.5


@config
class Limits:
    """How hard a server is asked."""

    concurrency: Annotated[Positive, Field(description="most requests at once; what is used adapts below it")] = 32
    requests_per_minute: Annotated[Positive | None, Field(description="null: no limit")] = None
    tokens_per_minute: Annotated[Positive | None, Field(description="of prompts and answers; null: no limit")] = None
    timeout: Annotated[Float, Field(gt=0, description="seconds until an attempt counts as failed")] = 300.0
    attempts: Annotated[Positive, Field(description="times that a request is tried before it is given up")] = 6
    backoff: Annotated[
        Float, Field(gt=0, description="seconds before the second attempt; doubled for each further one, with jitter")
    ] = 1.0
    breaker: Annotated[
        Positive, Field(description="hard errors or requests given up, one after another, that stop the run")
    ] = 5


@config
class Endpoint:
    """A model behind an OpenAI-compatible server."""

    base_url: Annotated[Name, Field(description="up to and with /v1; plain http on this machine alone")] = (
        "https://api.openai.com/v1"
    )
    model: Annotated[Name, Field(description="as the server calls it")]
    key_env: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$",
            description="name of the environment variable that holds the key; on this machine it may be unset",
        ),
    ] = "OPENAI_API_KEY"
    structured: Annotated[
        Literal["auto", "schema", "json", "off"],
        Field(description="response_format: json_schema, json_object or none; auto: the first that the server takes"),
    ] = "auto"
    batch: Annotated[
        Literal["off", "on"], Field(description="on: through the batch API, at half price and within a day")
    ] = "off"
    decoding: Decoding = Decoding()
    limits: Limits = Limits()
    price: Annotated[Price | None, Field(description="null: nothing, which is right on this machine alone")] = None

    @model_validator(mode="after")
    def _reachable(self) -> "Endpoint":
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url: give http:// or https://, host, and usually /v1")
        if "@" in self.base_url or "?" in self.base_url or "#" in self.base_url:
            raise ValueError("base_url holds @, ? or #: a key belongs into the environment (`key_env`), not here")
        if not is_loopback(self.base_url):
            if self.base_url.startswith("http://"):
                raise ValueError(f"base_url {self.base_url}: plain http is for this machine alone; use https://")
            if self.price is None:
                raise ValueError(
                    f"price: needed for {self.base_url}, so that spending is known; give --...price.input=0 "
                    "--...price.output=0 for a server that costs nothing"
                )
        return self


@config
class Budget:
    """What may be spent."""

    dollars: Annotated[
        Float | None, Field(ge=0, description="the run stops before it could cost more; null: no limit")
    ] = None
    tokens: Annotated[Natural | None, Field(description="of prompts and answers, as above; null: no limit")] = None
