"""The names that data sets use for emotions and their intensities, and the one name that the pack uses for each."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ...perception.vector import EMOTIONS

CONTEMPT = "contempt"
INTENSITIES = ("slight", "plain", "strong")
PLAIN = INTENSITIES.index("plain")

_SYNONYMS = {  # English, German, French, Spanish, Italian, Portuguese, Chinese, Japanese; three letters: CREMA-D
    "angry": """anger mad ang furious rage wut wütend wuetend zorn zornig ärger aerger verärgert böse boese sauer
        colère fâché fâchée furieux furieuse ira enojo enojado enojada enfado enfadado enfadada furioso furiosa
        rabbia arrabbiato arrabbiata collera raiva zangado zangada 愤怒 憤怒 生气 生氣 怒 怒り 怒る""",
    "disgust": """disgusted disgusting dis ekel angeekelt angewidert abscheu dégoût dégoûté dégoûtée asco asqueado
        asqueada repugnancia disgusto disgustato disgustata nojo nojento 厌恶 厭惡 恶心 噁心 嫌悪 嫌悪感""",
    "fear": """fearful afraid scared frightened fea angst ängstlich aengstlich furcht furchtsam peur effrayé effrayée
        apeuré apeurée miedo temor asustado asustada paura spaventato spaventata impaurito impaurita medo assustado
        assustada 害怕 恐惧 恐懼 恐れ 恐怖 怖い 恐い""",
    "happy": """happiness joy joyful smile smiling hap freude freudig fröhlich froehlich glücklich gluecklich froh joie
        joyeux joyeuse heureux heureuse bonheur alegría alegre feliz felicidad contento contenta felicità felice gioia
        alegria felicidade 高兴 高興 快乐 快樂 开心 開心 喜悦 喜び 幸せ 嬉しい 楽しい 笑顔 笑脸 笑臉""",
    "sad": """sadness unhappy unhappiness sorrow trauer traurig traurigkeit tristesse triste tristeza tristezza
        悲伤 悲傷 伤心 傷心 难过 難過 悲しみ 悲しい""",
    "surprise": """surprised surprising suprise suprised astonished astonishment sur überraschung überrascht
        ueberraschung ueberrascht erstaunt surpris étonné étonnée étonnement sorpresa sorprendido sorprendida
        sorpreso surpresa surpreso 惊讶 驚訝 惊奇 驚奇 吃惊 吃驚 驚き 驚く 驚いた""",
    "neutral": """calm normal neutrality expressionless emotionless neu ruhig neutre neutro neutrale neutra 中性
        中立 平静 平靜 无表情 無表情 真顔 ニュートラル""",
    CONTEMPT: """contemptuous disdain scorn verachtung verächtlich mépris desprecio disprezzo desprezo 轻蔑 輕蔑
        蔑视 蔑視 軽蔑""",
}
_FILLERS = {
    *("emotion", "emotions", "expression", "expressions", "facial", "face", "faces", "image", "images"),
    "en",  # French, as in "en colère"
    *("people", "person", "persons", "photo", "photos", "picture", "pictures", "imgs", "pics"),
}
_EAST_ASIAN_FILLERS = re.compile(
    "(の(人|顔|表情)|的?表情|的(人|脸|臉))$"
)  # person, face and expression, without spaces

_INTENSITY_SYNONYMS = {
    "slight": ("slightly", "low", "lo", "weak", "mild", "subtle", "faint", "minor", "small", "little"),
    "plain": ("normal", "medium", "md", "mid", "moderate", "average", "regular", "usual", "1", "01"),  # 01: RAVDESS
    "strong": ("strongly", "high", "hi", "intense", "extreme", "exaggerated", "severe", "very", "big", "2", "02"),
}
_LEVEL_OF = {
    word: level for level, name in enumerate(INTENSITIES) for word in (name, *_INTENSITY_SYNONYMS[name])
}  # "lo", "md" and "hi" are CREMA-D's
_UNSTATED = {"", "xx", "x", "unspecified", "unknown", "none", "n/a", "na", "-"}  # "xx" is CREMA-D's


_ENDINGS = ("er", "es", "en", "e")  # of German adjectives
_EXPRESSION = re.compile(  # the beginnings of words for expressions other than the emotions
    "amus|annoy|anxi|asham|awe$|blink|blush|bore|brows?$|cheek|cheer|chuckl|concentrat|confus|content|cried|cry|curious|"
    "despair|disappoint|doubt|drows|eager|embarrass|envious|envy|excit|express|eye|frown|frustrat|gasp|giggl|glar|grim|"
    "grin|grump|guilt|interest|jealous|kiss|laugh|lips?$|love$|loving|mouth|nervous|pain|pensive|pleased|pout|proud|"
    "pride$|puzzl|relax|relie|scowl|scream|serious|shame|shock|shout|shy|skeptic|sleep|smil|smirk|smug|sneer|sob|squint|"
    "star(e|ing)|stress|suspici|talk|tear|thinking|thought|tired|tongue|upset|weep|wince|wink|worr|yawn|yell"
)


def visible(text: str) -> str:
    """Return the text in NFC with single spaces, and without characters that have no width, as web pages add them."""
    if text.isascii():
        return " ".join(text.split())
    shown = (mark for mark in unicodedata.normalize("NFC", text) if unicodedata.category(mark) != "Cf")
    return " ".join("".join(shown).split())


def _folded(text: str) -> str:
    """Return the text in lower case and without accents, so that file systems and keyboards make no difference."""
    decomposed = unicodedata.normalize("NFKD", visible(text).casefold())
    return "".join(mark for mark in decomposed if not unicodedata.combining(mark))


_NAME_OF = {
    _folded(word): name for name in (*EMOTIONS, CONTEMPT) for word in (name, *_SYNONYMS[name].split())
}  # any word → one of the seven emotions, or contempt


@lru_cache(maxsize=4096)
def known_label(label: str) -> str | None:
    """Return the emotion that `label` names, one of the seven or contempt, ignoring case, digits, accents and dashes.

    Synonyms, plurals and words in other languages count ("happiness", "Surprised", "03_fearful_faces", "Wut"); calm
    counts as neutral. None for any other label.
    """
    words = re.findall(r"[^\W\d_]+", _folded(label))
    name = " ".join(word for word in words if word not in _FILLERS)
    inflected = (name.removesuffix(ending) for ending in _ENDINGS if len(name) >= len(ending) + 5)
    forms = (name, name.removesuffix("s"), _EAST_ASIAN_FILLERS.sub("", name), *inflected)
    return next((_NAME_OF[form] for form in forms if form in _NAME_OF), None)


def is_expression(label: str) -> bool:
    """Return whether any word of a label is an emotion, or a word for another expression, such as `laughing`."""
    words = re.findall(r"[^\W\d_]+", _folded(label))
    return known_label(label) is not None or any(known_label(word) or _EXPRESSION.match(word) for word in words)


def label_key(label: str) -> str:
    """Return the key that all spellings of a label share: the emotion that it names, else its words in lower case."""
    return known_label(label) or plain_text(visible(label)).casefold()


class LabelNames:
    """Names the labels of one source or dataset, so that all spellings of a label have one name.

    An emotion has the pack's own name. Any other label keeps its spelling, or gets that of its first appearance.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}  # label → name
        self._first: dict[str, str] = {}  # key → first spelling

    def __call__(self, label: str) -> str:
        if label not in self._names:
            self._names[label] = known_label(label) or self._first.setdefault(label_key(label), visible(label) or label)
        return self._names[label]


def plain_text(label: str) -> str:
    """Return a label as it appears in a prompt, with spaces for dashes and underscores."""
    return re.sub(r"[\s_-]+", " ", label).strip()


def level_of(intensity: str) -> int | None:
    """Return the index in `INTENSITIES` of a source's word for an intensity; None for any other word.

    RAVDESS uses 01 for normal and 02 for strong; CREMA-D uses LO, MD and HI.
    """
    return _LEVEL_OF.get(intensity.strip().casefold())


def is_stated(intensity: str) -> bool:
    """Return whether a source's word states how strong the emotion is; "unknown" and CREMA-D's XX do not."""
    return intensity.strip().casefold() not in _UNSTATED
