"""Two thousand varied lines: code, prose in many scripts, emoji, numbers, white space, marks, markers. The same every time."""

import inspect
import json.decoder
import random
import string
import textwrap

PROSE = """In the beginning God created the heaven and the earth.
DeepSeek-V3 is a Mixture-of-Experts model with 671B parameters, 37B of them active for a token.
He said: "It's what they'd've wanted", didn't he? I'll see; you're right, we've time.
深度求索发布了新的大规模语言模型，参数量达到六千七百一十亿。
人之初，性本善。性相近，习相远。（三字经）
今天天气很好，我们去公园散步吧！价格是￥1,299.00元。
吾輩は猫である。名前はまだ無い。カタカナとひらがな、漢字が混ざる。
すもももももももものうち。ｶﾀｶﾅ半角、ＡＢＣ全角１２３。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
Все люди рождаются свободными и равными в своём достоинстве и правах.
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. ٠١٢٣٤٥
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है। १२३
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm.
Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.
Alle Menschen sind frei und gleich an Würde und Rechten geboren; Straße, Größe, ﬁn.
Tous les êtres humains naissent libres et égaux en dignité et en droits — c'est « écrit ».
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İıIi
ყველა ადამიანი იბადება თავისუფალი და თანასწორი.
Բոլոր մարդիկ ծնվում են ազատ ու հավասար։
எல்லா மனிதர்களும் சுதந்திரமாகவே பிறக்கின்றனர்.
ሰው ሁሉ ነጻና እኩል በክብርና በመብት ተወልዷል።
The quadratic formula: x = (−b ± √(b² − 4ac)) / 2a, ∀x ∈ ℝ, ∑ᵢ₌₁ⁿ i = n(n+1)/2 ≈ ½n².
See https://example.org/a/b?c=d&e=%20f#g or mail someone@example.com (2024-12-26T13:37:00Z).""".split(
    "\n"
)

CODE = r"""int main(int argc, char **argv) { return argc > 1 ? atoi(argv[1]) : -1; }
template <typename T> static inline T max(const T &a, const T &b) noexcept { return a < b ? b : a; }
for (size_t i = 0; i < n; ++i) { sum += x[i] * y[i]; } // dot product
fn main() -> Result<(), Box<dyn Error>> { println!("{:?}", args().skip(1).collect::<Vec<_>>()); Ok(()) }
SELECT name, COUNT(*) AS n FROM users WHERE age >= 18 GROUP BY name HAVING n > 1 ORDER BY n DESC;
<div class="row"><a href='#top'>&lt;top&gt;</a><!-- note --></div>
const f = async ({a, b = 2, ...rest}) => await fetch(`/api/${a}?b=${b}`);
{"key": [1, 2.5e-3, null, true], "nested": {"a": "\u00e9\n"}}
#include <vector>
#define HADAL_TRY(...) ({ auto r = (__VA_ARGS__); if (!r.ok()) return r.error(); r.value(); })
%0 = linalg.matmul ins(%a, %b : tensor<?x128xf32>, tensor<128x64xf32>) outs(%c : tensor<?x64xf32>) -> tensor<?x64xf32>
git commit -m "fix: don't crash on empty input" && git push origin HEAD~1..main
$ grep -rn '^\s*def ' . | awk -F: '{print $1":"$2}' | sort -u > /dev/null 2>&1
\begin{equation} \int_0^\infty e^{-x^2}\,dx = \frac{\sqrt{\pi}}{2} \end{equation}
-----BEGIN PUBLIC KEY-----
snake_case camelCase PascalCase SCREAMING_SNAKE kebab-case x86_64 utf8mb4 IPv6""".split("\n")

SPACES = " \t\n\r\v\f\u0085\u00a0\u1680\u180e\u2000\u2003\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
EMOJI = [
    "😀",
    "🤖",
    "👍🏽",
    "👩‍👩‍👧‍👦",
    "🏳️‍🌈",
    "🇩🇪",
    "❤️",
    "✨",
    "1️⃣",
    "🫠",
    "🧑🏿‍🚀",
    "☕",
    "⚠️",
    "🔥",
    "💯",
    "🀄",
    "♟️",
    "🪿",
    "🫨",
]
MARKS = "\u0300\u0301\u0308\u0323\u0327\u0338\u20d7\u0489\ufe0f\u200d\u0897\u1abf"
NUMBERS = [
    "0",
    "1",
    "42",
    "007",
    "3.14159",
    "-273.15",
    "1e-9",
    "1,234,567.89",
    "0xDEADBEEF",
    "2²",
    "½",
    "Ⅷ",
    "٣٤٥",
    "१२३४",
    "①②",
    "100%",
    "12:34:56",
    "2024-12-26",
    "+49 (0)30 123456",
    "1234567890" * 3,
    "๑๒๓",
    "𝟙𝟚𝟛",
    "1/3",
    "v3.2.1-rc.4",
    "$5.00",
    "€1.000,00",
    "192.168.0.1",
]


def character(rng):
    """A character from anywhere: letters of every plane, unassigned code points too."""
    block = rng.choice(
        [
            (0x20, 0x7F),
            (0xA0, 0x250),
            (0x250, 0x900),
            (0x900, 0x1100),
            (0x2000, 0x2C00),
            (0x3000, 0x3130),
            (0x4E00, 0xA000),
            (0xA000, 0xD800),
            (0xF900, 0x10000),
            (0x10000, 0x12000),
            (0x16000, 0x17000),
            (0x1D000, 0x1E900),
            (0x1F000, 0x1FB00),
            (0x20000, 0x32400),
            (0xE000, 0xE010),
            (0x10FFF0, 0x110000),
        ]
    )
    return chr(rng.randrange(*block))


def words(rng, text, count):
    pieces = text.split(" ")
    start = rng.randrange(len(pieces))
    return " ".join(pieces[start : start + count])


def make_lines(markers, count=2000):
    """`markers`: spellings of added tokens, whole and broken ones are strewn in."""
    rng = random.Random(3)
    source = [
        line
        for module in (json.decoder, textwrap, string, random)
        for line in inspect.getsource(module).split("\n")
        if len(line) < 90
    ]
    spell = lambda n, alphabet: "".join(rng.choice(alphabet) for _ in range(n))
    kinds = [
        lambda: rng.choice(PROSE)[:90],
        lambda: words(rng, rng.choice(PROSE), rng.randrange(1, 9)),
        lambda: words(rng, rng.choice(PROSE), 3)
        + rng.choice(["", " ", "\n", "　"])
        + words(rng, rng.choice(PROSE), 3),
        lambda: rng.choice(CODE)[:90],
        lambda: rng.choice(source),
        lambda: "\n".join(rng.choices(source, k=2)),
        lambda: " ".join(rng.choices(NUMBERS, k=rng.randrange(1, 4))),
        lambda: spell(rng.randrange(1, 25), "0123456789.,- "),
        lambda: spell(rng.randrange(1, 12), SPACES) + rng.choice(["x", "", "漢", "1", "!"]),
        lambda: "a" + spell(rng.randrange(1, 15), " \t\n\r") + rng.choice(["b", ".", ""]),
        lambda: rng.choice(["", " ", "so "])
        + spell(rng.randrange(1, 5), EMOJI)
        + rng.choice(["", " ok", "!"]),
        lambda: "".join(
            rng.choice("aeoncAÅ漢é") + spell(rng.randrange(0, 3), MARKS)
            for _ in range(rng.randrange(1, 8))
        ),
        lambda: "".join(character(rng) for _ in range(rng.randrange(1, 12))),
        lambda: spell(rng.randrange(1, 20), string.punctuation + " "),
        lambda: spell(rng.randrange(1, 30), string.ascii_letters),
        lambda: spell(rng.randrange(1, 5), string.punctuation)
        + spell(3, string.ascii_letters)
        + rng.choice(["'s", "'LL", "’re", "\r\n"]),
        lambda: words(rng, rng.choice(PROSE), 2)
        + rng.choice(markers)
        + rng.choice(["", " ", "x"])
        + rng.choice(markers)[: rng.randrange(1, 40)],
    ]
    lines = [
        "",
        " ",
        "  ",
        "\n",
        "\r\n",
        "a",
        "é",
        "e\u0301",
        "\u0301",
        "你",
        "\U0001f600",
        "\ufeff",
        "\0",
        "a\0b",
        "\x7f\x80",
        "a" * 300,
        " " * 200,
        "=" * 120,
        "ab" * 100,
        "\t" * 50 + "x",
        "9" * 100,
        "的" * 60,
        "!" * 100,
        "\n" * 64,
        "\u00ad\u200b\u2060",
        "x" + "\u0301" * 40,
        "ǅ ʰ ª",
        "ⅷ ꙮ ༳ ㊿",
        "١٢٣ 456",
        "a\u180eb \u180e c",
        "\U00031350\U000323af \U0002ebf0",
        "\U00011f00\U00011f04\U0001e4d0",
        "²³¹ ¼½¾",
        "\u001c\u001d\u001e\u001f",
    ]
    for left in markers[:12]:
        lines += [left, " " + left + " ", left + left]
    while len(lines) < count:
        lines.append(rng.choice(kinds)())
    return lines[:count]
