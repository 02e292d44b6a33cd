"""Signatures of webhooks: those of the standard, and none but those pass."""

import pytest

from saga.signatures import InvalidSecret, InvalidSignature, check_signature, signatures

ID, AT_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SECRET, OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c29tZXRoaW5nLWVsc2U="
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_signature_is_that_of_the_standard() -> None:
    assert signatures(ID, AT_S, BODY, [SECRET]) == SIGNED


def test_a_secret_without_a_key_is_refused() -> None:
    with pytest.raises(InvalidSecret, match="base64"):
        signatures(ID, AT_S, b"", ["no base64!"])


def test_one_of_several_signatures_by_one_of_several_secrets_is_enough() -> None:
    check_signature(ID, AT_S, BODY, SIGNED, [SECRET])
    check_signature(ID, AT_S, BODY, f"v1a,unknown v1,{'A' * 44} {SIGNED}", [OTHER, SECRET])


@pytest.mark.parametrize(
    "given", ["", "v1,", SIGNED.removeprefix("v1,"), SIGNED.replace("v1", "v2"), "v1,\u00fc"]
)
def test_what_is_no_signature_of_ours_is_refused(given: str) -> None:
    with pytest.raises(InvalidSignature, match="sign"):
        check_signature(ID, AT_S, BODY, given, [SECRET])


@pytest.mark.parametrize(
    ("webhook_id", "at_s", "body"),
    [("msg_other", AT_S, BODY), (ID, AT_S + 1, BODY), (ID, AT_S, BODY + b" ")],
)
def test_a_signature_holds_for_its_id_its_time_and_its_body_only(
    webhook_id: str, at_s: int, body: bytes
) -> None:
    with pytest.raises(InvalidSignature):
        check_signature(webhook_id, at_s, body, SIGNED, [SECRET])
