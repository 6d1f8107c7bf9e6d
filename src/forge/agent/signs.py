"""What in a message's words says that it takes a machine, or that words alone answer it. Pure.

    work    a verb of work where a clause begins · a file's name or a path · code · sums with digits
    words   a greeting or thanks and nothing else · a question's opening · something to be written
    web     what only the world outside knows now; no machine of Forge's can look there

Verbs count only where a clause begins, so that the plot of Hamlet is no plot; what is quoted is
talked about, not asked for. The lists are short on purpose: whatever they leave open is asked of
the small model. Patterns are linear and the text is bounded, as it is anybody's.
"""

import re

LONGEST = 2000
"""How much of a message is looked at, in characters: what is asked stands at its beginning or its
end, and what is between is usually pasted."""

_FLAGS = re.IGNORECASE

_BEGINS = (
    r"(?:^|[.,;:!?\n]\s*(?:-\s+)?|\b(?:then|and|also|please|now|und|dann|bitte|et|puis|y|e)\s+)"
    r"(?:(?:ok(?:ay)?|so|just|please|now|hey|hi|hello|let's|bitte)[\s,]+){0,3}"
    r"(?:(?:can|could|would|will)\s+you\s+(?:please\s+)?|(?:i\s+(?:want|need)\s+you|help\s+me)\s+to\s+"
    r"|i'?d\s+like\s+you\s+to\s+|please\s+)?"
)

_VERBS = (
    r"plot|graph|visuali[sz]e|chart|compute|calculate|simulate|run|rerun|execute|parse|load|count|"
    r"integrate|differentiate|factori[sz]e|benchmark|profile|debug|install|compile|unzip|unpack|"
    r"untar|zip|resize|crop|rotate|merge|join|deduplicate|animate|render|scrape|download|grep|"
    r"chmod|mkdir|kill|sort|filter|fit|train|cluster|implement|refactor|"
    r"extract|convert|generate|verify|evaluate|solve|"
    # other languages
    r"berechne|zeichne|plotte|zähle|sortiere|lies|lade|führe|simuliere|konvertiere|"
    r"calcule[rz]?|trace[rz]?|dessine[rz]?|exécute[rz]?|compte[rz]?|trie[rz]?|convertis|"
    r"calcula|dibuja|grafica|ejecuta|cuenta|ordena|convierte|"
    r"calcola|disegna|esegui|conta|ordina|desenhe|execute|conte|plote|"
    r"oblicz|narysuj|policz|uruchom|построй|нарисуй|вычисли|посчитай|запусти|"
    r"beräkna|rita|hesapla|çiz"
)
_WORK_VERB = re.compile(
    rf"{_BEGINS}(?:{_VERBS})\b(?!\s+(?:conclusions?|ideas|time|away)\b)", _FLAGS
)

_MADE = (
    r"csv|tsv|json|xlsx?|excel|pdf|word|docx?|png|svg|gif|jpe?g|spreadsheet|workbook|table|file|"
    r"plot|chart|graph|histogram|heatmap|diagram|scatter|figure|picture|image|animation|snowflake|"
    r"fractal|qr|script|program|programme|function|class|app|application|tool|module|game|bot|"
    r"parser|regex|unit\s+tests?|tests?|repository|repo|dataset|data|folder|directory|password|"
    r"skript|programm|diagramm|balkendiagramm|funktion|datei|fichier|fonction|gráfico|función|"
    r"archivo|histograma|grafico|funzione"
)
_MAKES = (
    r"write|make|create|build|draw|show|give\s+me|produce|prepare|code|develop|design|save|export|"
    r"turn|transform|list|find|fix|schreibe?|erstelle?|mache?|écris|écrire|crée|fais|escribe|crea|"
    r"haz|dibuja|scrivi|crie|escreva|desenhe"
)
_MAKES_SOMETHING = re.compile(rf"{_BEGINS}(?:{_MAKES})\b[^.!?\n]{{0,60}}?\b(?:{_MADE})s?\b", _FLAGS)
_WISHED = re.compile(
    rf"\b(?:i(?:'d|\s+would)?\s+(?:want|need|like)|(?:can|could|may)\s+i\s+(?:have|get)|let\s+me\s+have)\b"
    rf"[^.!?\n]{{0,50}}?\b(?:{_MADE})s?\b",
    _FLAGS,
)
_DRAWN = re.compile(
    rf"^(?:an?\s+)?(?:bar|pie|line|scatter|box)\s*(?:chart|plot|graph)\b|{_BEGINS}draw\s+(?:me\s+)?(?:the|a)\b",
    _FLAGS,
)
_WRITTEN_ONLY = re.compile(
    rf"(?:{_BEGINS}(?:write|make|create|give\s+me|draft|compose|schreibe?|écris|escribe|scrivi)|"
    r"\bi\s+(?:want|need)|^an?)\b"
    r"[^.!?\n]{0,30}?\b(?:haiku|poem|limerick|song|story|essay|joke|e-?mail|letter|toast|speech|"
    r"slogan|tweet|post|message|bio|card|invitation|caption|paragraph|excuse|opening\s+lines?|names?|ideas|gedicht|brief|poème|poema|lettre|carta)\b",
    _FLAGS,
)
_FILE = re.compile(
    r"(?<![\w/.@])[\w-]{1,80}\.(?:csv|tsv|jsonl?|xlsx?|parquet|sqlite|db|txt|log|md|pdf|docx?|pptx?|"
    r"png|jpe?g|gif|svg|zip|tar|gz|tgz|py|ipynb|sh|js|ts|c|cpp|rs|go|java|html?|xml|ya?ml|toml|sql)\b"
    r"|(?<!\S)(?:~|\.{1,2})?/(?:etc|usr|home|var|tmp|opt|proc|[\w.-]+/[\w.-]+)\b",
    _FLAGS,
)
_CODE = re.compile(
    r"^\s*(?:import\s+\w+|from\s+\w+\s+import|def\s+\w+\(|for\s+\w+\s+in\s+|while\s+.+:|print\(|"
    r"\$\s+\w+|#!/|(?:ls|cat|cd|python3?|curl|grep|find|echo|sudo|bash)\s+[-./~]|(?:pip|git|apt)\s+(?:install|"
    r"clone|log|status|show)\b|(?:ls|pwd|whoami)\s*$)|\b(?:while|for|if)\s[^\n]{1,80}:\s*\w+\S*\(|"
    r"\b(?:fn|def|func|function)\s+\w+\(",
    _FLAGS | re.MULTILINE,
)
_FENCE = re.compile(r"^\s{0,3}(?:```|~~~)", re.MULTILINE)
_NUMBER = r"-?\d[\d.,_]{0,400}"
_SUM = re.compile(
    r"\d[\d.,_)]*\s*(?:[*×÷^]|\*\*|//|\bmod\b|\btimes\b|\bmal\b|\bpor\b|乘以|除以)\s*\(?\d{2,}"  # noqa: RUF001 - people write it
    r"|\d{3,}\s*[-+/]\s*\d{2,}|\b\d{2,}!|0x[0-9a-f]{4,}"
    r"|\d\d?\s*[*×^]\s*\d\d?\s*[-+*×]",  # noqa: RUF001 - people write it
    _FLAGS,
)
_NUMBERS = re.compile(rf"{_NUMBER}(?:\s*(?:,|;|and|und|et|y|\s)\s*{_NUMBER}){{2,}}", _FLAGS)
_DATE = re.compile(r"\b(?:1[5-9]|2[01])\d\d-\d\d-\d\d\b")
_WITH_NUMBERS = re.compile(
    r"(?:\d[\d.,]*\s*%|\d+[.,]\d+|\b\d{3,}\b|\b\d\d?\b)[^\n]{0,200}?"
    r"(?:\d[\d.,]*\s*%|\d+[.,]\d+|\b\d{2,}\b)"
)
_YEAR = re.compile(r"\b(?:1\d|20)\d\d(?:s|er)?\b(?![.,]\d)")
_MACHINE = re.compile(
    r"\b(?:(?:your|the|this)\s+(?:machine|sandbox|vm|container|working\s+directory)|"
    r"(?:kernel|compiler|os)\s+version|is\s+[\w.+-]{1,40}\s+(?:installed|available)|"
    r"(?:memory|ram|space)\s+is\s+(?:free|left|available)|attached|"
    r"(?:try|check|verify|test|prove|run|time)\s+it\b|make\s+sure\s+(?:it|that\s+it)\s+\w+s\b|"
    r"show\s+that\s+it\s+works|(?:as|into)\s+(?:an?\s+)?(?:csv|xlsx?|excel|pdf|png|svg|"
    r"spreadsheet|word\s+document|zip)\b|port\s+(?:this|it)\s+to|my\s+(?:unit\s+)?(?:test|tests|"
    r"script|code|program|query|build)\s+(?:fails?|hangs?|crash\w*|throws?|is\s+slow))",
    _FLAGS,
)
_RUN_NOTHING = re.compile(
    r"\b(?:don'?t|do\s+not|without|never)\s+(?:run|runn|execut|us)\w*\s+(?:anything|any|code|it|tools?)\b",
    _FLAGS,
)
_TEXT_TASK = re.compile(
    r"^(?:please\s+|bitte\s+)?(?:translate|rewrite|rephrase|paraphrase|proofread|summari[sz]e|shorten|"
    r"make\s+(?:this|it)\s+(?:sound|more|less|shorter|friendlier|funnier|formal)|"
    r"turn\s+(?:this|it)\s+into\s+(?:bullet|prose|a\s+(?:poem|letter))|auf\s+(?:deutsch|englisch)|"
    r"übersetze?|traduce|tradui\w*)\b",
    _FLAGS,
)
_EXACT = re.compile(
    r"\b(?:sha-?(?:1|256|512)|md5|base64|crc32|checksum|eigenvalues?|standard\s+deviation|regression|"
    r"brute.?force|(?:\d+(?:st|nd|rd|th)|first\s+\d+)\s+(?:primes?|fibonacci|digits?)|"
    r"(?:\d+(?:st|nd|rd|th))\s+\w+\s+number|how\s+many\s+(?:days|weekdays|primes?|rows|lines|"
    r"anagrams|permutations)|numerically|factorial|fakult[äa]t|(?:random|zufälliges)\s+(?:password|"
    r"number|sample)|sudoku|monthly\s+payment|probability\s+of|log\s+base|trailing\s+zeros|"
    r"(?:smallest|largest|next)\s+(?:\w+\s+)?(?:number|integer|prime)\s+(?:divisible|such|above|below|that|"
    r"greater|larger)|to\s+\w+\s+(?:decimal\s+)?places|invest\s+\d|puissance\s+\d|combien\s+font|"
    r"сколько\s+будет|how\s+many\s+(?:\w+\s+)?primes|decimals|decimal\s+places|is\s+\d{3,}\s+(?:a\s+)?prime|"
    r"disk\s+space|(?:python|node)\s+version\s+is\s+installed|wie\s+viele\s+primzahlen|current\s+folder|"
    r"(?:gráfica|grafik|courbe)\s+de|day\s+of\s+the\s+week)\b",
    _FLAGS,
)
_HAN = re.compile(
    r"计算|計算|绘制|画(?:一|个|出|图)|運行|运行|グラフ|プロット|描いて|実行|保存して|排序|統計|统计"
)

_SOCIAL = re.compile(
    r"(?:(?:hi|hello|he+y+|hiya|yo|howdy|greetings|there|good\s+(?:morning|afternoon|evening|night)|"
    r"how\s+are\s+you(?:\s+doing)?(?:\s+today)?|thanks?(?:\s+you)?|thank\s+you|thx|cheers|bye|goodbye|"
    r"see\s+you(?:\s+\w+)?|ok(?:ay)?|great|perfect|nice|cool|awesome|that'?s\s+(?:all|it|perfect|great)|"
    r"that\s+(?:did\s+it|helped|worked|works)|mate|buddy|very|so|much|again|everyone|forge|a\s+lot|well\s+done|"
    r"hallo|guten\s+(?:morgen|tag|abend)|wie\s+geht'?s|danke(?:\s+(?:dir|schön|sehr))?|tschüss|"
    r"bonjour|salut|ça\s+va|merci(?:\s+beaucoup)?|hola|qué\s+tal|(?:muchas\s+)?gracias|adiós|"
    r"ciao|grazie|olá|tudo\s+bem|obrigad[oa]|привет|как\s+дела|спасибо|你好|谢谢|こんにちは|"
    r"ありがとう(?:ございます)?|مرحبا|شكرا|merhaba|(?:çok\s+)?teşekkürler|cześć|dzięki|hej|tack|안녕하세요)"
    r"[\s,.!?¡¿。！？、:;)(-]*)+",  # noqa: RUF001 - people write them
    _FLAGS,
)
_NO_WORDS = re.compile(r"[^\w]*")

_ASKS = re.compile(
    r"^(?:(?:ok(?:ay)?|so|and|but|hi|hello|hey|well)[\s,!]+)?[¿¡]?(?:(?:can|could|would)\s+you\s+|please\s+|kannst\s+"
    r"du\s+(?:mir\s+)?)?"
    r"(?:explain|describe|define|tell\s+me|translate|say\s|rewrite|rephrase|paraphrase|proofread|"
    r"summari[sz]e|suggest|recommend|compare|name\s|draft|compose|brainstorm|discuss|give\s+me\s+"
    r"(?:\w+\s+){0,2}(?:names?|ideas|tips|advice|examples?)|plan\s+a|who\b|why\b|when\b|where\b|"
    r"what(?!\s+(?:about|if|share|percentage)\b)(?:'s)?\b|which\s+(?:is|are)\b|in\s+(?:which|what)\b|"
    r"(?:the\s+)?difference|pros\b|eli5\b|walk\s+me\s+through|did\b|will\b|can\s+(?!you|i\s+(?:have|get))|"
    r"(?:has|have)\s|help\s+me\s+(?:think|decide|understand|choose)|i\s+(?:don'?t\s+(?:get|understand)|"
    r"can'?t\s+decide)|"
    r"how\s+(?:would|do|does|did|can|should|would|could|is|are|to|long|come|old|far|tall|big|deep|high|fast)\b|"
    r"is\s+(?:it|a|an|the|\w+\s+(?:a|an|the|better|faster|safe))\b|"
    r"are\s|do\s+(?:you|i|people)\b|does\s+|should\s+i\b|can\s+(?:i|you\s+(?:explain|tell|help|recommend|"
    r"suggest))\b|teach\s+me|the\s+meaning\s+of|in\s+simple\s+terms|best\s+way\s+to|i\s+(?:feel|have\s+a\s+question|want\s+to\s+(?:learn|understand|know))|"
    r"was\s+(?:ist|sind|bedeutet)|wer\s|warum\s|wann\s|erklär\w*|übersetze?|wie\s+(?:funktioniert|geht)|"
    r"combien\s+de\s+temps|qu(?:i|'est|el(?:le)?s?|and|oi)\b|pourquoi|comment\s|explique\w*|tradui\w*|"
    r"(?:cuál|quién|qué|por\s+qué|cómo|cuándo)\b|explíca\w*|traduce|"
    r"che\s+cos|chi\s|perché|spiega\w*|o\s+que\s|quem\s|по\s*чему|что\s+такое|кто\s|объясни\w*)",
    _FLAGS,
)
_HAN_ASKS = re.compile(r"什么是|解释|为什么|是谁|翻译|ですか|とは|なぜ|教えて|説明|翻訳|뭐|무엇")
_BACK = re.compile(r"\b(?:it|that|this|them|these|those|same|again|instead)\b", _FLAGS)
_EXPLAIN = re.compile(r"\b(?:explain|mean|means|why|how\s+come|understand|tell\s+me)\b", _FLAGS)
_WEB = re.compile(
    r"\b(?:weather|forecast\s+for|headlines|news|stock\s+price|price\s+of|exchange\s+rate|last\s+night|"
    r"latest\s+version|flights?\s+(?:from|to)|deals\b|online\b|markets?\s+clos\w+|tonight|(?:search|browse|look\s+up)\s+(?:the\s+)?(?:web|internet|online)|google\s+)\b",
    _FLAGS,
)
_QUOTED = re.compile(
    r"\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|«[^»\n]{1,400}»|(?<!\w)'[^'\n]{1,400}'(?!\w)|`[^`\n]{1,400}`"
)


def looked_at(message: str) -> str:
    """The part of a message that is looked at."""
    if len(message) <= LONGEST:
        return message.strip()
    return f"{message[: LONGEST * 3 // 4]}\n{message[-LONGEST // 4 :]}".strip()


def is_social(text: str) -> bool:
    """Whether it greets, thanks or agrees, and nothing else."""
    return _SOCIAL.fullmatch(text.strip("¡¿ ")) is not None


def has_no_words(text: str) -> bool:
    """Whether there is no word in it at all."""
    return _NO_WORDS.fullmatch(text) is not None


def of_work(text: str) -> str:
    """The first sign that it takes a machine, in words; empty where there is none."""
    unquoted = _QUOTED.sub(" … ", text)
    signs = (
        (_CODE.search(text), "it is code to run"),
        (_FILE.search(text), "it names a file"),
        (_WORK_VERB.search(unquoted), "it asks for something to be done"),
        (_HAN.search(text), "it asks for something to be done"),
        (
            _MAKES_SOMETHING.search(unquoted) and not _WRITTEN_ONLY.search(unquoted),
            "it asks for something to be made",
        ),
        (_WISHED.search(unquoted), "it asks for something to be made"),
        (_DRAWN.search(unquoted), "it asks for something to be drawn"),
        (_MACHINE.search(text), "it is about the machine, or asks for a trial"),
        (_SUM.search(text) or _NUMBERS.search(text) or _DATE.search(text), "it has sums in it"),
        (_EXACT.search(unquoted), "its answer must be worked out"),
    )
    return next((reason for found, reason in signs if found), "")


def of_words(text: str) -> str:
    """The first sign that words alone answer it, in words; empty where there is none."""
    signs = (
        (_TEXT_TASK.search(text), "it asks for a text"),
        (_WEB.search(text), "it asks for what only the web knows, and no machine is on it"),
        (_WRITTEN_ONLY.search(text), "it asks for a text"),
        (_ASKS.search(text) or _HAN_ASKS.search(text), "it is a question that words answer"),
    )
    return next((reason for found, reason in signs if found), "")


def numbers_to_work_with(text: str) -> bool:
    """Whether there is more than one number in it that is not a year."""
    return _WITH_NUMBERS.search(_YEAR.sub(" ", text)) is not None


def wants_nothing_run(text: str) -> bool:
    """Whether the person asks that nothing be run."""
    return _RUN_NOTHING.search(text) is not None


def is_about_a_text(text: str) -> bool:
    """Whether it asks for a text to be translated, shortened or said otherwise."""
    return _TEXT_TASK.search(text) is not None


def points_back(text: str) -> bool:
    """Whether it speaks of something that was there before."""
    return _BACK.search(text) is not None and _EXPLAIN.search(text) is None


def has_block(text: str) -> bool:
    """Whether there is a fenced block in it."""
    return _FENCE.search(text) is not None


def begins_as_question(text: str) -> bool:
    """Whether its first words ask for an explanation or another text."""
    return _ASKS.search(text) is not None or _HAN_ASKS.search(text[:40]) is not None
