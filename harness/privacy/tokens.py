"""The forms of tokens that are known by sight, as data: pattern, issuer, source.

A source is a document of the issuer, or a rule of gitleaks by its id: a scanner whose rules are
public (`config/gitleaks.toml` there). The forms here are wider than theirs: a report that lacks a
word can be mended, a published token cannot.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.text import late


class Form(NamedTuple):
    """One form, as it is anywhere in a text but in the middle of a word."""

    pattern: str
    issuer: str
    source: str


FORMS = (
    Form(r"(?:AKIA|ASIA)[0-9A-Z]{16}", "AWS", "AWS IAM User Guide: unique identifiers"),
    Form(r"gh[pousr]_[A-Za-z0-9]{16,}", "GitHub", "GitHub Docs: about authentication"),
    Form(r"github_pat_\w{16,}", "GitHub", "GitHub Docs: about authentication"),
    Form(r"gl(?:pat|ptt|dt|rt|cbt|soat|ft|agent|oas)-[\w.-]{16,}", "GitLab",
         "GitLab Docs: token overview, prefixes"),
    Form(r"hf_[A-Za-z0-9]{8,}", "Hugging Face", "gitleaks: huggingface-access-token"),
    Form(r"api_org_[A-Za-z0-9]{8,}", "Hugging Face",
         "gitleaks: huggingface-organization-api-token"),
    Form(r"sk-[\w-]{16,}", "OpenAI, Anthropic", "gitleaks: openai-api-key, anthropic-api-key"),
    Form(r"[spr]k_(?:live|test)_\w{8,}", "Stripe", "Stripe Docs: API keys"),
    Form(r"xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}", "Slack", "Slack Docs: token types"),
    Form(r"AIza[\w-]{20,}", "Google", "gitleaks: gcp-api-key"),
    Form(r"ya29\.[\w-]+", "Google", "Google Identity: using OAuth 2.0"),
    Form(r"GOCSPX-[\w-]{16,}", "Google", "Google Identity: OAuth client secrets"),
    Form(r"npm_[A-Za-z0-9]{16,}", "npm", "gitleaks: npm-access-token"),
    Form(r"pypi-[\w-]{16,}", "PyPI", "PyPI help: API tokens"),
    Form(r"dop_v1_[a-f0-9]{16,}", "DigitalOcean", "gitleaks: digitalocean-pat"),
    Form(r"SG\.[\w-]{8,}\.[\w-]{8,}", "SendGrid", "gitleaks: sendgrid-api-token"),
    Form(r"nvapi-[\w-]{16,}", "NVIDIA", "NVIDIA NGC User Guide: API keys"),
    Form(r"(?:xai|tvly)-[\w-]{16,}", "xAI, Tavily", "the issuers' API references"),
    Form(r"pplx-[\w-]{16,}", "Perplexity", "gitleaks: perplexity-api-key"),
    Form(r"(?:gsk|r8|lsv2_[a-z]{2})_[\w-]{16,}", "Groq, Replicate, LangSmith",
         "the issuers' API references"),
    Form(r"dckr_(?:pat|oat)_[\w-]{16,}", "Docker", "Docker Docs: access tokens"),
    Form(r"shp[a-z]{2}_[\w-]{16,}", "Shopify", "gitleaks: shopify-access-token"),
    Form(r"hv[sbr]\.[\w-]{16,}", "HashiCorp Vault", "Vault Docs: tokens"),
    Form(r"AGE-SECRET-KEY-1[0-9A-Z]{16,}", "age", "gitleaks: age-secret-key"),
    Form(r"\d{8,10}:AA[\w-]{30,}", "Telegram", "gitleaks: telegram-bot-api-token"),
    Form(r"[\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,}", "Discord", "Discord Docs: bot tokens"),
    Form(r"eyJ[\w-]{8,}(?:\.[\w-]*){1,4}", "any, JSON Web Token", "RFC 7519, RFC 7516"),
    Form(r"ATATT[\w-]{16,}", "Atlassian", "gitleaks: atlassian-api-token"),
    Form(r"xkeysib-[\w-]{8,}", "Brevo", "gitleaks: sendinblue-api-token"),
    Form(r"tskey-[\w-]{16,}", "Tailscale", "Tailscale Docs: key prefixes"),
    Form(r"glsa_\w{16,}", "Grafana", "gitleaks: grafana-service-account-token"),
    Form(r"EAA[A-Za-z0-9]{20,}", "Facebook", "gitleaks: facebook-page-access-token"),
    Form(r"figd_[\w-]{16,}", "Figma", "Figma Docs: personal access tokens"),
    Form(r"lin_api_\w{16,}", "Linear", "gitleaks: linear-api-key"),
    Form(r"key-[0-9a-z]{32}", "Mailgun", "gitleaks: mailgun-private-api-token"),
    Form(r"PMAK-[\w-]{16,}", "Postman", "gitleaks: postman-api-token"),
    Form(r"NR[A-Z]{2}-[A-Z0-9]{16,}", "New Relic", "gitleaks: new-relic-user-api-key"),
    Form(r"\$(?:apr1|1|5|6|y|2[abxy])\$[./\w=,$-]{16,}", "crypt", "crypt(5): hashing methods"),
    Form(r"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-[\w-]{1,20})[ \t]+AAAA[A-Za-z0-9+/=]{16,}", "SSH",
         "RFC 4253, section 6.6: a public key names its owner"),
)  # fmt: skip

HEXADECIMAL = r"(?<![0-9A-Fa-f])(?!(?<=\d\.)\d{32,}(?![0-9A-Fa-f]))[0-9A-Fa-f]{32,}"
"""The form of many, among them Weights & Biases: 32 digits or more, but no decimals of a number."""

ANY = late.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(form.pattern for form in FORMS)})|{HEXADECIMAL}")
