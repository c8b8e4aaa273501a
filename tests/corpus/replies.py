"""Replies and reviews for the tests of the corpus."""

from hub_tools.prompts.analysis import write


TEXT = "The soup was cold and the staff was rude. We will not be back."
REWRITING = "I hated that the soup was cold, and I was angry at the rude staff, so I will not come back."


def review(text: str = TEXT, rating: float | None = 1.0, review_id: str = "r", **more: object) -> dict:
    return {"review_id": review_id, "domain": "restaurant", "text": text, "rating": rating, "source": "s", **more}


def reply(text: str, prompt: str = "analysis", request_id: str = "q", **more: object) -> dict:
    return {
        "request_id": request_id,
        "review_id": "r",
        "prompt": prompt,
        "teacher": "t",
        "reply": text,
        "finish_reason": "stop",
        **more,
    }


def analysis(target: str = "soup", sentiment: str = "Negative", reasoning: str = "It is cold.") -> str:
    return write([{"target": target, "aspect": "a", "sentiment": sentiment, "reasoning": reasoning}])
