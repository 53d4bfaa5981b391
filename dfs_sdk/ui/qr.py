"""An invite as a QR code: rows of dark and light modules, which the browser draws."""

from __future__ import annotations

from dfs_sdk.errors import ConfigError

QUIET_MODULES = 4


def modules(text: str) -> list[str]:
    """Encode a text.

    Args:
        text: At most some 2,900 characters.

    Returns:
        A row a line, `1` is dark; with the quiet zone that readers need.

    Raises:
        ConfigError: The package that encodes is not installed, or the text is too long for a code.

    Source: ISO/IEC 18004; the package segno encodes.
    """
    try:
        import segno
    except ImportError as error:
        raise ConfigError('QR codes need the package segno: pip install "dfs-sdk[notebook]"') from error
    try:
        code = segno.make_qr(text, error="l")
    except segno.DataOverflowError as error:
        raise ConfigError("the invite is too long for a QR code: copy it instead") from error
    return ["".join("1" if dark else "0" for dark in row) for row in code.matrix_iter(border=QUIET_MODULES)]
