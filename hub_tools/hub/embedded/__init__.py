"""A Hub-compatible server on loopback, so that every real client runs its real code with no account and no network.

    with EmbeddedHub(Path(".fsa-hub")) as hub:
        subprocess.run(["hf", "auth", "whoami"], env=os.environ | hub.environment)

It is a stand-in for one machine: one user (`local`), who may write to any namespace; no pages, no Xet, no git.
Storage is durable: blobs under their SHA-256, a commit is there whole or not at all. Protocol: the clients of
huggingface_hub 2.4, datasets 5.2, transformers 5.23 and evaluate 0.4.6.
"""

from hub_tools.hub.embedded.server import EmbeddedHub, HubInUse


__all__ = ["EmbeddedHub", "HubInUse"]
