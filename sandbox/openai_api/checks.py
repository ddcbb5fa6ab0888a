"""What the chat completions API refuses before it answers."""

from __future__ import annotations

from typing import Any

from sandbox.openai_api import bodies

JSON_SCHEMA_MODELS = ("gpt-4o", "gpt-4.1", "gpt-5", "o1", "o3", "o4")
KNOWN_MODELS = ("gpt-3.5", "gpt-4", *JSON_SCHEMA_MODELS)
KEY_PREFIX = "sandbox-"

Refusal = tuple[int, dict[str, Any]]


def check_key(authorization: str) -> Refusal | None:
    """Return a 401 for a missing or wrong key; right is every key that begins with `sandbox-`."""
    scheme, _, key = authorization.partition(" ")
    if scheme != "Bearer" or not key:
        return 401, bodies.missing_key()
    return None if key.startswith(KEY_PREFIX) else (401, bodies.invalid_key(key))


def check_body(body: Any) -> Refusal | None:
    """Return the refusal of a request's body, or None."""
    if not isinstance(body, dict):
        message = "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload."
        return 400, bodies.error(message, "invalid_request_error")
    model, messages = body.get("model"), body.get("messages")
    if not isinstance(model, str) or not model:
        return 400, bodies.error("you must provide a model parameter", "invalid_request_error")
    if not model.startswith(KNOWN_MODELS):
        message = f"The model `{model}` does not exist or you do not have access to it."
        return 404, bodies.error(message, "invalid_request_error", "model_not_found")
    if "messages" not in body:
        message = "Missing required parameter: 'messages'."
        return 400, bodies.error(message, "invalid_request_error", "missing_required_parameter", "messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(entry, dict) for entry in messages):
        message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
        return 400, bodies.error(message, "invalid_request_error", "empty_array", "messages")
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 2:
        message = f"Invalid 'temperature': expected a value between 0 and 2, but got {temperature} instead."
        return 400, bodies.error(message, "invalid_request_error", "decimal_above_max_value", "temperature")
    return _check_format(body.get("response_format"), model, messages)


def _check_format(response_format: Any, model: str, messages: list[dict[str, Any]]) -> Refusal | None:
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "json_object" and not any("json" in bodies.message_text(message).lower() for message in messages):
        message = (
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        )
        return 400, bodies.error(message, "invalid_request_error", None, "messages")
    if kind != "json_schema":
        return None
    if not model.startswith(JSON_SCHEMA_MODELS):
        message = (
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model. "
            "Learn more about supported models at the Structured Outputs guide: "
            "https://platform.openai.com/docs/guides/structured-outputs"
        )
        return 400, bodies.error(message, "invalid_request_error")
    described = response_format.get("json_schema") or {}
    if not described.get("name"):
        message = "Missing required parameter: 'response_format.json_schema.name'."
        return 400, bodies.error(
            message, "invalid_request_error", "missing_required_parameter", "response_format.json_schema.name"
        )
    complaint = _strict(described.get("schema") or {}, ()) if described.get("strict") else ""
    if complaint:
        message = f"Invalid schema for response_format '{described['name']}': {complaint}"
        return 400, bodies.error(message, "invalid_request_error", None, "response_format")
    return None


def _strict(schema: Any, where: tuple[str, ...]) -> str:
    """Return what strict mode does not allow: open objects and optional properties, at any depth."""
    if not isinstance(schema, dict):
        return ""
    properties = schema.get("properties")
    if isinstance(properties, dict):
        if schema.get("additionalProperties") is not False:
            return f"In context={where}, 'additionalProperties' is required to be supplied and to be false."
        missing = [name for name in properties if name not in schema.get("required", [])]
        if missing:
            return (
                f"In context={where}, 'required' is required to be supplied and to be an array including every key "
                f"in properties. Missing '{missing[0]}'."
            )
        for name, inner in properties.items():
            complaint = _strict(inner, (*where, "properties", name))
            if complaint:
                return complaint
    return _strict(schema.get("items"), (*where, "items"))
