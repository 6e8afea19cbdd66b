"""Texts for property tests: parts of sentences in many scripts, and what makes them hard."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

PARTS: Final = [
    *("The cat sat. ", "Dr. Who", " on the mat", "!", "? ", "3.14", " 1,000 ", "It's", "e.g. so "),
    *(
        " ",
        "  ",
        "\n",
        "\n\n",
        "\n\n\n",
        "\r\n",
        "\t",
        "\x85",
        "\u2028",
        "_",
        "__",
        "-",
        "# ",
        "\n## ",
    ),
    *("“Yes.” ", "déjà", "e\u0301", "\u0301", "\u200d", "\xad", "\xa0", "https://a.example/b?c "),
    *("你好。", "漢字", "カタカナ", "สวัสดีครับ", "한국", "नमस्ते। ", "שלום ", "مرحبا؟ "),
    *("😀", "👨‍👩‍👧", "🇺🇸", "👍🏽", "𠮷", "𐐀𐐁", "½"),
]


def texts(longest: int = 60) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(PARTS), max_size=longest).map("".join)
