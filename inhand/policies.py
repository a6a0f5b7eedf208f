"""The policies that ship with inhand, by name: the directories in ``policies/`` of the source tree."""

from pathlib import Path

from policy.artefact import CONTRACT, ROOT, ArtefactError

SHIPPED = ROOT / "policies"
DEFAULT = "default"
"""A link to the best of them."""


def names(shipped: Path | None = None) -> list[str]:
    """Names of the policies in ``shipped``, by default ``SHIPPED``; none where inhand has no source tree."""
    return sorted(path.parent.name for path in (shipped or SHIPPED).glob(f"*/{CONTRACT}"))


def locate(policy: str, shipped: Path | None = None) -> Path:
    """The directory of a policy: a path or, of a single word that is no directory, the policy of this name that ships.

    Raises:
        ArtefactError: if there is neither.
    """
    if Path(policy).name != policy or Path(policy).is_dir():
        return Path(policy)
    known = names(shipped)
    if policy in known:
        return ((shipped or SHIPPED) / policy).resolve()  # a log shall name the policy, not the link to it
    there = ", ".join(known) or "none; they come with a clone of the repository, not with a wheel"
    raise ArtefactError(f"no policy {policy}: there is no such directory, and shipped policies are: {there}")
