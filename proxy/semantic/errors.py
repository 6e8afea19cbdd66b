"""Errors of the semantic layer, as Elasticsearch's own exceptions of these names."""

from __future__ import annotations

from proxy.ground.errors import IllegalArgument, ProxyError, UpstreamUnavailable
from proxy.semantic.modelsettings import ModelSettings


class OwnCredentialsRefused(UpstreamUnavailable):
    """The upstream does not accept the proxy's own credentials, such as a key that has expired."""

    def __init__(self) -> None:
        super().__init__("upstream node does not accept the proxy's own credentials")


class VerificationFailed(ProxyError):
    """What is wrong with an ES|QL query that can be parsed."""

    status = 400
    type = "verification_exception"


class MapperParsingFailed(ProxyError):
    """A mapping that cannot be read."""

    status = 400
    type = "mapper_parsing_exception"


def unparsable(error: ProxyError) -> MapperParsingFailed:
    """The error for a whole mapping that holds something which `error` refuses."""
    return MapperParsingFailed(f"Failed to parse mapping: {error.reason}", cause=error)


class DocumentParsingFailed(ProxyError):
    """A document that its index's mapping does not take."""

    status = 400
    type = "document_parsing_exception"

    @classmethod
    def of_models(
        cls, path: str, present: ModelSettings, offered: ModelSettings, at: str = "[1:1]"
    ) -> DocumentParsingFailed:
        """The vectors of a document are of another model than those that the field has."""
        conflict = IllegalArgument(
            f"Mapper for [{path}] conflicts with existing mapper:\n\tCannot update parameter "
            f"[model_settings] from [{present.shown}] to [{offered.shown}]"
        )
        return cls(
            f"{at} Incompatible model settings for field [{path}]. Check that the inference_id is "
            "not using different model settings",
            cause=conflict,
        )


class InferenceFailed(ProxyError):
    """The texts of a document's field could not be embedded.

    The status is that of the cause, but for a conflict, which is none of the document's.
    """

    type = "inference_exception"

    def __init__(self, inference_id: str, path: str, cause: ProxyError) -> None:
        super().__init__(
            f"Exception when running inference id [{inference_id}] on field [{path}]", cause=cause
        )
        # By a 409 clients know a document that is there already: some drop it without a word.
        self.status = 503 if cause.status == 409 else cause.status
        self.headers = cause.headers


class InferenceNotLoaded(ProxyError):
    """The endpoint of a document's field could not be looked up."""

    type = "inference_exception"

    def __init__(self, inference_id: str, path: str, cause: ProxyError) -> None:
        super().__init__(
            f"Error loading inference for inference id [{inference_id}] on field [{path}]",
            cause=cause,
        )
        self.status = cause.status
