"""Names of a training's figures in other languages, put into English before a line is read.

Étape 10/100 - perte : 2,34         步骤 10/100，损失：2.34        第 3 轮，第 10 步，损失 2.34
Schritt 10: Verlust 2,34            Época 3/10 - pérdida: 2.34     エポック 3/10: 損失 2.34
"""

from __future__ import annotations

import re

from harness.text import late

_NAMES = {
    "step": "étape etape schritt paso passo шаг крок krok stap steg adım bước langkah "
    "步骤 步驟 步数 步數 ステップ 스텝",
    "iteration": "itération iteración iteracion iteração iteracao iterazione итерация 迭代",
    "epoch": "époque epoche época epoca эпоха епоха epoka epocha epok "
    "轮次 輪次 エポック 에포크 에폭",
    "loss": "perte verlust pérdida perdida perda perdita потери потеря втрати strata ztráta "
    "verlies kayıp förlust kerugian "
    "损失 損失 损失值 損失値 ロス 손실",
    "train_loss": "trainingsverlust perte_d'entraînement pérdida_de_entrenamiento "
    "perda_de_treino perda_de_treinamento 训练损失 訓練損失 学習損失",
    "val_loss": "validierungsverlust perte_de_validation pérdida_de_validación perda_de_validação "
    "验证损失 驗證損失 検証損失 검증_손실",
    "learning_rate": "lernrate taux_d'apprentissage tasa_de_aprendizaje taxa_de_aprendizado "
    "taxa_de_aprendizagem скорость_обучения 学习率 學習率 学習率 학습률",
    "accuracy": "genauigkeit précision precisión acurácia точность 准确率 準確率 正解率 정확도",
    "perplexity": "perplexité perplexität perplejidad перплексия 困惑度",
    "grad_norm": "gradientennorm norme_du_gradient 梯度范数 勾配ノルム",
}
_DOTS = str.maketrans("ı", "i", "\u0307")
"""A regex that ignores case takes an i with any number of dots, in either case, for an i."""


def _key(word: str) -> str:
    """A word as it is looked up: what a regex takes for the same letters has the same key."""
    return word.casefold().translate(_DOTS)


_FOREIGN_WORDS = {
    foreign.replace("_", " "): name for name, words in _NAMES.items() for foreign in words.split()
}
_ENGLISH = {_key(foreign): name for foreign, name in _FOREIGN_WORDS.items()}
_LETTER = r"[^\W\d_]"
# Letters around it would make another word of it; ideographs stand without blanks.
_WORDS = late.compile(
    "|".join(
        re.escape(word)
        if ord(word[0]) > 0x2FFF
        else f"(?<!{_LETTER}){re.escape(word)}(?!{_LETTER})"
        for word in sorted(_FOREIGN_WORDS, key=len, reverse=True)
    ),
    re.IGNORECASE,
)
_FOREIGN = late.compile("[À-ɏẀ-ỿЀ-ӿ぀-ヿ㐀-鿿가-힣：，＝]")
"""Letters that are not in ASCII, and signs of ideographic text."""
_COUNTED = late.compile(r"第 ?(\d{1,12}) ?(?:/ ?(\d{1,12}) ?)?(步|轮|輪|回|エポック)")
_WIDE = str.maketrans("：＝（）［］／｜％", ":=()[]/|%", "")
_WIDE_SIGNS = "：＝，、（／｜"


def in_english(line: str) -> str:
    """The line with the names that are known in English, and with narrow signs."""
    if line.isascii():
        if not _may_be_foreign(line):
            return line
    elif "%|" in line:
        return line
    elif not _FOREIGN.search(line):  # boxes, or an ASCII text with dashes of its own
        if not _may_be_foreign(line):
            return line
    elif any(sign in line for sign in _WIDE_SIGNS):
        line = line.translate(_WIDE).replace("，", ", ").replace("、", ", ")
    return _WORDS.sub(_named, _COUNTED.sub(_count, line))


def _may_be_foreign(line: str) -> bool:
    """True if a part of the ASCII words for a loss is there. Asked of each line without `loss`."""
    return "trata" in line or (
        "er" in line
        and (
            "erlust" in line
            or "erte" in line
            or "erd" in line
            or "erlies" in line
            or "erugian" in line
        )
    )


def _named(match: re.Match[str]) -> str:
    return f"{_ENGLISH[_key(match[0])]} "


def _count(match: re.Match[str]) -> str:
    count, total, what = match.groups()
    name = "step" if what == "步" else "epoch"
    return f"{name} {count}/{total} " if total else f"{name} {count} "
