"""What is asked of a server, and what came back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion to ask for.

    Attributes:
        key: by which its reply is found again; one of a journal asks for one thing.
        endpoint: name of the endpoint, among those of the client.
        messages: (role, content), in order.
        schema: JSON schema of the answer, for a server that can hold a model to one; None: free text.
    """

    key: str
    endpoint: str
    messages: tuple[tuple[str, str], ...]
    schema: Mapping[str, Any] | None = field(default=None, hash=False)

    def fingerprint(self, model: str, decoding: Mapping[str, Any]) -> str:
        """Hex SHA-256 of all that an answer depends on: key, model, decoding, messages and schema.

        A journal's answer counts for a request with this fingerprint alone. Which address the model stood at does not
        enter, nor how the server was asked to keep to the schema.
        """
        said = [self.key, model, dict(decoding), self.messages, self.schema]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request; it may be that there is none.

    Attributes:
        key: of the request.
        text: what the model wrote; empty where there is a problem, or where it wrote nothing.
        finish: why it stopped, in the server's word: stop, length, content_filter, ...; empty where not told.
        input_tokens: that the answer was paid for, those of failed attempts not counted.
        output_tokens: as above.
        estimated: the server did not tell the tokens, and these are a guess.
        problem: why there is no answer, in a few words; empty where there is one.
    """

    key: str
    text: str
    finish: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    problem: str = ""
