"""Makes reviews.csv, which `grokscope train reviews` reads, of sentences from film reviews that PyPI has.

`pip download --no-deps --no-binary :all: vaderSentiment==3.3.2` brings the source distribution that has
them, and `python examples/reviews_csv.py vaderSentiment-3.3.2.tar.gz FOLDER` writes the file. Each of 10 605
sentences was rated from -4 to 4 by twenty people (Hutto & Gilbert 2014); the 9173 whose mean is 1 or more
from 0 are taken, as IMDb leaves out what has five or six stars of ten. A review is five of one sign, of as
many films: one sentence has so few words that 750 of them teach little.
"""

import io
import random
import sys
import tarfile
from pathlib import Path

from grokscope.tasks.text import OWN_NAME, write_csv

SENTENCES = 5  # in a review
INSIDE = "additional_resources/hutto_ICWSM_2014.tar.gz"
TEXT = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def main(sdist: str, folder: str) -> None:
    with tarfile.open(sdist) as outer:
        (found,) = (name for name in outer.getnames() if name.endswith(INSIDE))
        with tarfile.open(fileobj=io.BytesIO(outer.extractfile(found).read())) as inner:
            lines = inner.extractfile(TEXT).read().decode().splitlines()
    rated = [(text, float(rating)) for _, rating, text in (line.split("\t") for line in lines)]
    sides = {
        "negative": [text for text, rating in rated if rating <= -1],
        "positive": [text for text, rating in rated if rating >= 1],
    }
    drawn = random.Random(0)
    made = []
    for side, texts in sides.items():
        drawn.shuffle(texts)
        made += [(" ".join(texts[at : at + SENTENCES]), side) for at in range(0, len(texts), SENTENCES)]
    drawn.shuffle(made)
    print(write_csv(Path(folder), made, OWN_NAME), len(made))


if __name__ == "__main__":
    main(*sys.argv[1:])
