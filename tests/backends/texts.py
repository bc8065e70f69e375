"""Texts that tokenizers and models are compared on."""

import json
import random
from pathlib import Path

PROMPTS = [
    "A customer's film history, in order:\nBrazil (1985)\nAlien (1979)\nSpirited Away (2001)\n",
    "Books that were read before:\nDer Zauberberg\nMiddlemarch\nLa Peste\nNext book:\n",
    "这位用户看过的电影：\n千と千尋の神隠し\n霸王别姬\n",
    "The Legend of Zelda\nSuper Mario 64\nMetroid Prime\n",
    "Item:\n",
]

TITLES = [
    *("Toy Story (1995)", "Jumanji (1995)", "Heat (1995)", "Sense and Sensibility (1995)"),
    *("GoldenEye (1995)", "Twelve Monkeys (a.k.a. 12 Monkeys) (1995)", "Dead Man Walking (1995)"),
    *("Se7en (Seven) (1995)", "Usual Suspects, The (1995)", "From Dusk Till Dawn (1996)"),
    *("City of Lost Children, The (Cité des enfants perdus, La) (1995)",),
    *("Shanghai Triad (Yao a yao yao dao waipo qiao) (1995)", "WHITE HANGING HEART T-LIGHT HOLDER"),
    *("SET OF 3 CAKE TINS PANTRY DESIGN", "JUMBO BAG RED RETROSPOT"),
    *("PACK OF 72 RETROSPOT CAKE CASES", "Romeo and Juliet", "A Midsummer Night's Dream"),
    *("The Life and Opinions of Tristram Shandy, Gentleman", "Nineteen Eighty-Four"),
    *("Pride & Prejudice", "Ulysses", "Crime and Punishment / Преступление и наказание"),
    *("The Brothers Karamazov", "Les Misérables", "Cien años de soledad", "Die Verwandlung"),
    *("Bundestag beschließt Haushalt für 2023", "Wie geht es weiter mit dem 49-Euro-Ticket?"),
    *("Corona: Was Sie heute wissen müssen",),
    *("What is the difference between a qubit and a classical bit?",),
    *("How does Shor's algorithm factor integers?", "Proving that $|\\psi\\rangle$ is entangled"),
    *("Gorditas Doña Gloria", "El Rincón de San Francisco", "Restaurante la Gran Vía", "Photopia"),
    *("Zork I: The Great Underground Empire", "Lost Pig (And Place Under Ground)", "80 DAYS"),
    *("Counterfeit Monkey", "霸王别姬", "花样年华 In the Mood for Love", "七人の侍", "기생충", "سارة"),
    *("भगवद् गीता", "The Legend of Zelda: Breath of the Wild", "Super Mario Odyssey"),
    *("Final Fantasy VII Remake", "Half-Life 2", "Portal 2", "DOOM (2016)", "Pokémon Red & Blue"),
    *("Sid Meier's Civilization VI", "Up", "It", "M", "1917", "2001: A Space Odyssey"),
]

ODD = [
    *("", " ", "  ", "\n", "\n\n", "\n\n\n", " a", "a ", "  a  ", "a\n b", "\ta", "a\t\tb", "   \n  x"),
    *("<|im_end|>", "<|im_start|>user\nhi<|im_end|>", "<|endoftext|>", "<bos>x", "<eos>", "</s>", "<s>"),
    *("<start_of_turn>user", "<end_of_turn>", "<unk>", "<pad>", "<mask>", "<unused0>", "[multimodal]"),
    *("<b>bold</b>", "<table><tr><td>x</td></tr></table>", "<h1> x </h1>", "</code>", "<0x0A>", "[INST]"),
    *(
        "naïve café",
        "e\u0301",
        "日本語のタイトル",
        "三国演义（上）",
        "\u3000全角",
        "한국어 제목",
        "العربية",
        "हिन्दी",
    ),
    *(
        "Привет, мир",
        "😀👩‍👩‍👧‍👦🇩🇪👍🏽",
        "𝔘𝔫𝔦",
        "\ufeffx",
        "a\u200bb",
        "a\u00a0b",
        "ﬁ ﬂ",
        "½ ² Ⅷ ٣٤",
        "C++ #1",
    ),
    *(
        "1",
        "2019",
        "1,000,000",
        "a1b22",
        "it's we'll DON'T",
        "'S",
        "\r\n",
        "a\r\nb",
        "\x01",
        "C++ #1",
        "..!?",
    ),
    *("\u2581x", "a\u2581b", "▁▁", "▁▁▁ ▁", "https://a.b/c?d=e&f", " " * 16 + "x", "x" + " " * 40, "\n" * 40),
]


def fuzzed(count: int) -> list[str]:
    """Odd pieces in a row, the same ones every time."""
    dice = random.Random(1)
    return ["".join(dice.choices([*ODD[2:], "a", "Zelda", "-"], k=dice.randint(2, 8))) for _ in range(count)]


def real_titles(folder: Path, count: int) -> list[str]:
    """Titles drawn evenly from every data set in a folder, or none where it is missing."""
    files = sorted(folder.glob("*/items.jsonl"))
    titles = []
    for file in files:
        lines = file.read_text("utf-8").splitlines()
        titles += random.Random(0).sample(lines, min(len(lines), 1 + count // len(files)))
    return [str(json.loads(line)["title"]) for line in titles]
