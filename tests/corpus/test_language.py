"""English is told from its neighbours by its small words."""

import doctest
import json
from collections import Counter

import pytest

from hub_tools.corpus import language
from hub_tools.corpus.language import foreign


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(language).failed == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Le repas était excellent mais le service est beaucoup trop lent pour une telle adresse.", "French"),
        ("Das Essen war gut, aber die Bedienung ist sehr langsam und nicht freundlich.", "German"),
        ("Il cibo era molto buono ma il servizio è lento e non gentile con i clienti.", "Italian"),
        ("A comida foi muito boa mas o serviço não é rápido e os preços são altos.", "Portuguese"),
        ("Het eten was heel goed maar de bediening is niet vriendelijk en ook erg traag.", "Dutch"),
        ("Еда была вкусной, но обслуживание очень медленное.", "another script"),
        ("We had pho, bánh mì and crème brûlée à la carte; the staff was kind and it was not expensive.", ""),
        ("tacos al pastor", ""),
        ("", ""),
    ],
)
def test_languages_are_told(text: str, told: str):
    assert foreign(text) == told


def test_of_4674_real_reviews_fifteen_are_foreign_and_all_of_them_are(data):
    texts = [
        json.loads(line)["text"]
        for path in sorted((data / "reviews").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    found = [foreign(text) for text in texts if foreign(text)]  # read by eye: none of them is English
    assert len(texts) == 4674
    assert Counter(found) == {"French": 11, "German": 3, "Dutch": 1}
