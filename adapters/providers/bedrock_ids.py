"""Which models an account may call: by id all of its own region; by ARN only those the configuration names.

An ARN names a region, an account and a resource that somebody pays for: what a client sends must not choose those.
Source: https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html (2026-11).
"""

import re

from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Provider

DEFAULT_REGION = "us-east-1"

# A model's id, or that of a profile, which begins with the regions it may use (us. eu. apac. global.).
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:-]{0,254}", re.ASCII)
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z0-9-]*):[0-9]*:[a-zA-Z0-9/._:-]{1,512}", re.ASCII)
_HOST = re.compile(r"bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


def region_of(provider: Provider) -> str:
    """The account's region: as configured, else the one its address names."""
    region = provider.settings.get("region")
    named = _HOST.search(provider.base_url)
    return str(region) if region else named[1] if named else DEFAULT_REGION


def refusal(model: str, provider: Provider) -> Problem | None:
    """Why the account may not call `model`; None if it may."""
    if not model.lower().startswith("arn:"):
        known = _ID.fullmatch(model) is not None
        return None if known else Problem(Kind.NOT_FOUND, "the provider does not have this model")
    arn = _ARN.fullmatch(model)
    if arn is None or model not in provider.settings.get("arns", ()):
        return Problem(Kind.NOT_FOUND, "this ARN is not among those the configuration allows")
    if arn[1] not in ("", region_of(provider)):
        return Problem(Kind.NOT_FOUND, "this ARN is of another region than the provider's")
    return None
