"""Expression text -> AST: the jmespath package's parser, with the tokens and the error texts of Kyverno's dialect.

Different from the package: a JSON literal must be JSON (no bare words), a backslash before the quote of a raw string escapes
it whatever stands before the backslash, and slices with step 0 do not compile.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

from jmespath import exceptions
from jmespath.lexer import Lexer
from jmespath.parser import ParsedResult, Parser

from engine.lang.errors import ExpressionSyntaxError
from engine.lang.jmes import json_text

Ast = dict[str, Any]
_Token = dict[str, Any]

_NAMES = {
    "and": "tAnd",
    "colon": "tColon",
    "comma": "tComma",
    "current": "tCurrent",
    "dot": "tDot",
    "eof": "tEOF",
    "eq": "tEQ",
    "expref": "tExpref",
    "filter": "tFilter",
    "flatten": "tFlatten",
    "gt": "tGT",
    "gte": "tGTE",
    "lbrace": "tLbrace",
    "lbracket": "tLbracket",
    "lparen": "tLparen",
    "lt": "tLT",
    "lte": "tLTE",
    "ne": "tNE",
    "not": "tNot",
    "number": "tNumber",
    "or": "tOr",
    "pipe": "tPipe",
    "quoted_identifier": "tQuotedIdentifier",
    "rbrace": "tRbrace",
    "rbracket": "tRbracket",
    "rparen": "tRparen",
    "star": "tStar",
    "unquoted_identifier": "tUnquotedIdentifier",
}
_RAW_STRING = re.compile(r"'((?:\\'|[^'])*+)'", re.DOTALL)


class _Fault(Exception):
    def __init__(self, reason: str, offset: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset


class _Lexer(Lexer):  # type: ignore[misc]  # the package has no types
    _position: int

    def _consume_raw_string_literal(self) -> _Token:
        start = self._position
        found = _RAW_STRING.match(self._expression, start)
        if found is None:
            raise _Fault("Unclosed delimiter: '", start)
        self._position = found.end() - 1
        self._next()
        return {"type": "literal", "value": found[1].replace("\\'", "'"), "start": start, "end": found.end(), "raw": True}

    def _consume_literal(self) -> _Token:
        start = self._position
        text: str = self._consume_until("`").replace("\\`", "`")
        try:
            value = json_text.loads(text)
        except ValueError as error:
            raise _Fault(f"invalid JSON literal: {error}", start) from None
        return {"type": "literal", "value": value, "start": start, "end": self._position}

    def _consume_quoted_identifier(self) -> _Token:
        token: _Token = super()._consume_quoted_identifier()
        token["value"] = json_text.valid_text(token["value"])
        return token


class _Parser(Parser):  # type: ignore[misc]
    def _parse(self, expression: str) -> ParsedResult:
        self._tokens = list(_Lexer().tokenize(expression))
        self._index = 0
        parsed = self._expression(binding_power=0)
        rest = self._lookahead_token(0)
        if rest["type"] != "eof":
            raise _Fault(f"Unexpected token at the end of the expression: {_name(rest)}", rest["start"])
        return ParsedResult(expression, parsed)

    def _parse_dot_rhs(self, binding_power: int) -> Ast:
        if self._current_token() not in ("quoted_identifier", "unquoted_identifier", "star", "lbracket", "lbrace"):
            raise _Fault("Expected identifier, lbracket, or lbrace", self._lookahead_token(0)["start"])
        node: Ast = super()._parse_dot_rhs(binding_power)
        return node

    def _parse_slice_expression(self) -> Ast:
        start: int = self._lookahead_token(0)["start"]
        node: Ast = super()._parse_slice_expression()
        if node["children"][2] == 0:
            raise _Fault("Invalid slice, step cannot be 0", start)
        return node

    def _match_multiple_tokens(self, token_types: list[str]) -> None:
        if self._current_token() not in token_types:
            expected = " or ".join(_NAMES[kind] for kind in token_types)
            raise _Fault(f"Expected {expected}", self._lookahead_token(0)["start"])
        self._advance()

    def _error_nud_token(self, token: _Token) -> NoReturn:
        reason = "Incomplete expression" if token["type"] == "eof" else f"Invalid token: {_name(token)}"
        raise _Fault(reason, token["start"])

    _error_led_token = _error_nud_token

    def _raise_parse_error_for_token(self, token: _Token, reason: str) -> NoReturn:
        raise _Fault("Error" if reason == "syntax error" else f"Invalid token: {_name(token)}", token["start"])

    def _raise_parse_error_maybe_eof(self, expected_type: str, token: _Token) -> NoReturn:
        raise _Fault(f"Expected {_NAMES[expected_type]}, received: {_name(token)}", token["start"])


def parse(text: str) -> Ast:
    """The AST of an expression: nested dicts with `type`, `children` and sometimes `value`, as the jmespath package makes them.

    Raises `ExpressionSyntaxError` with the offset of the fault; the reason is worded as Kyverno's.
    """
    try:
        # INVARIANT (fresh tree): not Parser.parse, whose cache would share one AST between callers.
        ast: Ast = _Parser()._parse(text).parsed
    except _Fault as fault:
        raise ExpressionSyntaxError(text, f"SyntaxError: {fault.reason}", fault.offset) from None
    except exceptions.EmptyExpressionError:
        raise ExpressionSyntaxError(text, "SyntaxError: Incomplete expression", 0) from None
    except exceptions.LexerError as error:
        raise ExpressionSyntaxError(text, f"SyntaxError: {_lexer_reason(error)}", error.lexer_position) from None
    except exceptions.ParseError as error:
        raise ExpressionSyntaxError(text, f"SyntaxError: {error.msg}", error.lex_position) from None
    except RecursionError:
        raise ExpressionSyntaxError(text, "the expression is nested too deeply") from None
    except ValueError:  # an index with more digits than Python turns into a number
        raise ExpressionSyntaxError(text, "SyntaxError: number out of range") from None
    return ast


def _lexer_reason(error: exceptions.LexerError) -> str:
    if error.message.startswith("Unclosed"):
        return f"Unclosed delimiter: {error.lexer_value[:1]}"
    if error.lexer_value == "=":
        return "Invalid token: tUnknown"
    if error.message.startswith("Unknown token"):
        return f"Unknown char: '{error.lexer_value}'"
    return _lowered(str(error.message))


def _name(token: _Token) -> str:
    if token["type"] == "literal":
        return "tStringLiteral" if "raw" in token else "tJSONLiteral"
    return _NAMES[token["type"]]


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
