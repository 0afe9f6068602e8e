"""Secrets that are known by their own form: public prefixes, lengths and alphabets of keys and tokens.

Facts about forms come from the documentation of those who issue them. `FORMS` are tried where one of their literals stands
in the text, which costs nothing where none does; `CONTEXTS` are searched for, and say with their surroundings what the
secret is.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Form(NamedTuple):
    """One form of secret."""

    type: str
    literals: str
    """Separated by spaces; one of them stands in every secret of this form."""
    pattern: str
    """Group 1 is the secret; without a group, all of it."""
    bits: float = 3.0
    """How random it must look at least, in bits for each character."""
    back: int = 0
    """How far before its literal a secret begins."""
    runs: bool = False
    """Whether it may repeat one character many times."""


class Context(NamedTuple):
    """What stands around a secret."""

    type: str
    pattern: str
    """Group 1 is the secret."""
    bits: float


_B64 = r"[A-Za-z0-9+/]"
_URL64 = r"[A-Za-z0-9_-]"
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

FORMS: Final = (
    Form("aws-access-key", "AKIA ASIA ABIA ACCA A3T", r"(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z2-7]{16}", 3.0),
    Form("aws-bedrock-key", "ABSK", r"ABSK[A-Za-z0-9+/]{109,269}={0,2}", 3.0),
    Form("aws-bedrock-key", "bedrock-api-key-", r"bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t[A-Za-z0-9+/=_-]*", 3.0),
    Form("gcp-api-key", "AIza", r"AIza[A-Za-z0-9_-]{35}", 3.5),
    Form("azure-client-secret", "Q~", r"[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}", 3.5, 4),
    Form("alibaba-access-key", "LTAI", r"LTAI[A-Za-z0-9]{17,21}", 3.0),
    Form("tencent-secret-id", "AKID", r"AKID[A-Za-z0-9]{32}", 3.0),
    Form("digitalocean-token", "doo_v1_ dop_v1_ dor_v1_", r"do[opr]_v1_[a-f0-9]{64}", 3.0),
    Form("yandex-token", "t1.", r"t1\.[A-Z0-9a-z_-]+=*\.[A-Za-z0-9_-]{86}=*", 3.0),
    Form("yandex-token", "AQVN YC", r"(?:AQVN[A-Za-z0-9_-]{35,38}|YC[A-Za-z0-9_-]{38})", 3.0),
    Form("heroku-key", "HRKU-AA", r"HRKU-AA[A-Za-z0-9_-]{58}", 3.0),
    Form("flyio-token", "fo1_", r"fo1_[\w-]{43}", 3.0),
    Form("flyio-token", "fm1 fm2", r"fm[12][ar]?_[A-Za-z0-9+/]{90,}={0,3}", 3.0),
    Form("scalingo-token", "tk-us-", r"tk-us-[\w-]{48}", 3.0),
    Form("pulumi-token", "pul-", r"pul-[a-f0-9]{40}", 3.0),
    Form("terraform-token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9=_-]{60,70}", 3.5, 14),
    Form("vault-token", "hvs. hvb. hvr.", r"hv[sbr]\.[\w-]{24,300}", 3.5),
    Form("vault-token", "s.", r"s\.(?=[A-Za-z]{0,20}\d)[A-Za-z0-9]{24}", 3.6),
    Form("databricks-token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?", 3.0),
    Form("planetscale-secret", "pscale_", r"pscale_(?:tkn|oauth|pw)_[\w=.-]{32,64}", 3.0),
    Form("supabase-key", "sbp_ sbs_", r"sb[ps]_[a-f0-9]{40}", 3.0),
    Form("openshift-token", "sha256~", r"sha256~[\w-]{43}", 3.0),
    Form("clickhouse-key", "4b1d", r"4b1d[A-Za-z0-9]{38}", 3.0),
    Form("doppler-token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,60}", 3.0),
    Form("infracost-key", "ico-", r"ico-[A-Za-z0-9]{32}", 3.0),
    Form("prefect-key", "pnu_", r"pnu_[A-Za-z0-9]{36}", 3.0),
    Form("dynatrace-token", "dt0c01.", r"dt0c01\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}", 3.0),
    Form("grafana-key", "eyJrIjoi", r"eyJrIjoi[A-Za-z0-9]{70,400}={0,3}", 3.0),
    Form("grafana-token", "glc_", r"glc_[A-Za-z0-9+/]{32,400}={0,3}", 3.0),
    Form("grafana-token", "glsa_", r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}", 3.0),
    Form("newrelic-key", "NRAK- NRJS- NRII-", r"NR(?:AK-[A-Za-z0-9]{27}|JS-[a-f0-9]{19}|II-[A-Za-z0-9-]{32})", 3.0),
    Form("sentry-token", "sntrys_", r"sntrys_eyJ[A-Za-z0-9+/=_]{80,500}", 4.2),
    Form("sentry-token", "sntryu_", r"sntryu_[a-f0-9]{64}", 3.3),
    Form("sonar-token", "squ_ sqp_ sqa_", r"sq[upa]_[A-Za-z0-9]{40}", 3.0),
    Form("sourcegraph-token", "sgp_", r"sgp_(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40}", 3.0),
    Form(
        "snyk-token",
        "snyk_",
        r"snyk_[a-z]+_[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
        3.0,
    ),
    Form("harness-key", "pat. sat.", r"[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}", 3.0),
    Form("octopus-key", "API-", r"API-[A-Z0-9]{26}", 3.2),
    Form("freemius-key", "sk_", r"sk_(?=[!-~]{0,28}[#-&*@^])[A-Za-z0-9]{3}[!#-&(-~]{26}", 4.3),
    Form("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,255}", 3.0),
    Form("github-token", "github_pat_", r"github_pat_\w{82}", 3.0),
    Form(
        "gitlab-token",
        "glpat- gldt- glptt- glft- glimt- glsoat- gloas- glcbt- glagent- glffct- glrt-",
        r"gl(?:pat|dt|ptt|ft|imt|soat|oas|cbt|agent|ffct|rt)-[\w-]{20,64}(?:\.[\w.]{2,30})?",
        3.0,
    ),
    Form("gitlab-token", "glcbt-", r"glcbt-[A-Za-z0-9]{1,5}_[\w-]{20}", 3.0),
    Form("gitlab-token", "GR1348941", r"GR1348941[\w-]{20}", 3.0),
    Form("gitlab-session", "_gitlab_session=", r"_gitlab_session=([0-9a-z]{32})", 3.0),
    Form("npm-token", "npm_", r"npm_[A-Za-z0-9]{36}", 3.0),
    Form("pypi-token", "pypi-AgEIcHlwaS5vcmc", r"pypi-AgEIcHlwaS5vcmc[\w-]{50,1000}", 3.0),
    Form("rubygems-key", "rubygems_", r"rubygems_[a-f0-9]{48}", 3.0),
    Form("clojars-token", "CLOJARS_", r"CLOJARS_[A-Za-z0-9]{60}", 3.0),
    Form("nuget-key", "oy2", r"oy2[a-z0-9]{43}", 3.0),
    Form("artifactory-key", "AKCp", r"AKCp[A-Za-z0-9]{69}", 3.0),
    Form("artifactory-token", "cmVmd", r"cmVmd[A-Za-z0-9]{59}", 3.0),
    Form("atlassian-token", "ATATT3", r"ATATT3[A-Za-z0-9_=-]{186}", 3.0),
    Form("postman-key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}", 3.0),
    Form("adobe-secret", "p8e-", r"p8e-[A-Za-z0-9]{32}", 3.0),
    Form("readme-key", "rdme_", r"rdme_[a-z0-9]{70}", 3.0),
    Form(
        "private-key",
        "-----BEGIN",
        r"-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----(?:[\s\\nr]*[A-Za-z-]{4,12}: [^\n]{1,80}){0,4}"
        r"(?:[\s\\nr]*[A-Za-z0-9+/=]{16,}){1,400}(?:[\s\\nr]*[A-Za-z0-9+/=]{0,15}\s*-----END[ A-Z0-9_-]{0,100}-----)?",
        3.0,
    ),
    Form("age-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}", 0.0, runs=True),
    Form(
        "1password-key",
        "A3-",
        r"A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
        3.0,
    ),
    Form("1password-token", "ops_eyJ", r"ops_eyJ[A-Za-z0-9+/]{250,}={0,3}", 4.0),
    Form("jwt", "ey", r"ey[A-Za-z0-9]{15,}\.ey[A-Za-z0-9/\\_-]{15,}\.(?:[A-Za-z0-9/\\_-]{10,}={0,2})?", 3.0),
    Form("jwt", "ZXlK", r"ZXlK(?:[A-Za-z0-9+/_-]{60,})={0,2}", 3.5),
    Form("anthropic-key", "sk-ant-", r"sk-ant-(?:api03|admin01|oat01)-[\w-]{93}AA", 3.0),
    Form("openai-key", "sk-", r"sk-(?:proj-|svcacct-|admin-|None-)?[\w-]{20,100}T3BlbkFJ[\w-]{20,100}", 3.0),
    Form("huggingface-token", "hf_", r"hf_[A-Za-z]{34}", 3.3),
    Form("huggingface-token", "api_org_", r"api_org_[A-Za-z]{34}", 3.3),
    Form("perplexity-key", "pplx-", r"pplx-[A-Za-z0-9]{48}", 3.5),
    Form("groq-key", "gsk_", r"gsk_[A-Za-z0-9]{52}", 3.5),
    Form("replicate-token", "r8_", r"r8_[A-Za-z0-9]{37}", 3.5),
    Form("stripe-key", "sk_ rk_", r"(?:sk|rk)_(?:test|live|prod)_[A-Za-z0-9]{10,99}", 3.0),
    Form("square-secret", "sq0 EAAA", r"(?:sq0(?:atp|csp|idp)-[\w-]{22,43}|EAAA[\w-]{60})", 2.8),
    Form("shopify-secret", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", 3.0),
    Form("shippo-token", "shippo_", r"shippo_(?:live|test)_[a-fA-F0-9]{40}", 3.0),
    Form("easypost-key", "EZAK EZTK", r"EZ[AT]K[A-Za-z0-9]{54}", 3.0),
    Form("flutterwave-key", "FLWPUBK_TEST- FLWSECK_TEST-", r"FLW(?:PUBK|SECK)_TEST-[a-h0-9]{12,32}(?:-X)?", 2.5),
    Form(
        "plaid-token",
        "access-",
        r"access-(?:sandbox|development|production)-[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
        3.0,
    ),
    Form("duffel-token", "duffel_", r"duffel_(?:test|live)_[\w=-]{43}", 3.0),
    Form("frameio-token", "fio-u-", r"fio-u-[\w=-]{64}", 3.0),
    Form("braintree-token", "access_token$", r"access_token\$production\$[0-9a-z]{16}\$[0-9a-f]{32}", 3.0),
    Form("settlemint-token", "sm_aat_ sm_pat_ sm_sat_", r"sm_(?:aat|pat|sat)_[A-Za-z0-9]{16}", 2.5),
    Form("intra42-secret", "s-s4t2", r"s-s4t2(?:ud|af)-[a-f0-9]{64}", 3.0),
    Form("slack-token", "xoxp- xoxe-", r"xox[pe](?:-\d{8,13}){3}-[A-Za-z0-9-]{28,34}", 2.5),
    Form("slack-token", "xoxb-", r"xoxb(?:-\d{8,14}){1,2}-[A-Za-z0-9]{18,34}", 2.5),
    Form("slack-token", "xoxa- xoxr-", r"xox[ar]-(?:\d-)?[0-9A-Za-z]{8,48}(?:-[0-9A-Za-z]{4,48}){0,4}", 2.0, runs=True),
    Form("slack-token", "xoxo- xoxs-", r"xox[os]-\d+-\d+-\d+-[a-fA-F0-9]+", 2.0),
    Form("slack-token", "xoxe", r"xoxe(?:\.xox[bp])?-\d-[A-Z0-9]{140,170}", 2.5),
    Form("slack-token", "xapp- XAPP-", r"(?i:xapp-\d-[A-Z0-9]+-\d+-[a-z0-9]+)", 2.0),
    Form(
        "slack-webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{43,80})",
        3.0,
    ),
    Form(
        "teams-webhook",
        "https://",
        r"https://[a-z0-9-]+\.webhook\.office\.com/webhookb2/([a-z0-9@-]{36,80}/IncomingWebhook/[a-z0-9]{32}/[a-z0-9-]{36})",
        3.0,
    ),
    Form("discord-webhook", "discord", r"discord(?:app)?\.com/api/webhooks/(\d{17,20}/[\w-]{60,80})", 3.0),
    Form("sendgrid-key", "SG.", r"SG\.[\w=.-]{66}", 3.3),
    Form("sendinblue-key", "xkeysib-", r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}", 3.0),
    Form("mailgun-key", "key- pubkey-", r"(?:pub)?key-[a-f0-9]{32}", 3.0),
    Form("mailchimp-key", "-us", r"[a-f0-9]{32}-us\d\d", 3.0, 32),
    Form("twilio-key", "SK", r"SK[0-9a-fA-F]{32}", 3.0),
    Form("facebook-token", "EAAM EAAC", r"EAA[MC][A-Za-z0-9]{100,}", 4.0),
    Form("linear-key", "lin_api_", r"lin_api_[A-Za-z0-9]{40}", 2.5),
    Form("twitter-token", "AAAAAAAAAAAAAAAAAAAAAA", r"A{22}[A-Za-z0-9%]{80,100}", 3.0, runs=True),
    Form("notion-token", "ntn_", r"ntn_\d{11}[A-Za-z0-9]{35}", 4.0),
    Form("airtable-token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}", 3.0),
    Form("typeform-token", "tfp_", r"tfp_[\w.=-]{59}", 3.0),
    Form("mapbox-token", "pk.", r"pk\.[A-Za-z0-9]{60}\.[A-Za-z0-9]{22}", 3.0),
    Form("cloudflare-ca-key", "v1.0-", r"v1\.0-[a-f0-9]{24}-[a-f0-9]{146}", 3.0),
    Form("defined-token", "dnkey-", r"dnkey-[A-Za-z0-9=_-]{26}-[A-Za-z0-9=_-]{52}", 3.0),
    Form("maxmind-key", "_mmk", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", 3.0, 36),
)

CONTEXTS: Final = (
    Context("telegram-token", r"\b(\d{8,10}:AA[\w-]{33})\b", 3.5),
    Context("mailgun-signing-key", r"\b([a-h0-9]{32}-[a-h0-9]{8}-[a-h0-9]{8})\b", 3.0),
    Context("facebook-token", r"\b(\d{15,16}(?:\||%7C)[\w-]{27,40})", 3.0),
    Context("sidekiq-url", r"https?://([a-f0-9]{8}:[a-f0-9]{8})@(?:gems|enterprise)\.contribsys\.com", 2.0),
    Context(
        "sidekiq-secret",
        r"BUNDLE_(?:GEMS|ENTERPRISE)__CONTRIBSYS__COM(?:_?[tT]oken)?['\"]?\s*[:=]+\s*['\"]?([a-f0-9]{8}:[a-f0-9]{8})\b",
        2.0,
    ),
    Context("sumologic-id", r"(?i)sumo[\w.-]*(?:access_?id|token)['\"]?\s*[:=]+\s*['\"]?(su[A-Za-z0-9]{12})\b", 2.5),
    Context("url-credentials", r"://[^\s/:@'\"<>]{0,64}:([^\s/@'\"<>$%{}]{3,128})@[\w.-]", 1.5),
    Context("basic-auth", r"(?i)authorization['\"]?\s*[:=]\s*['\"]?basic\s+([A-Za-z0-9+/]{8,}={0,2})", 2.5),
    Context("bearer-token", r"(?i)authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|token)\s+([\w.~+/=-]{8,})", 2.8),
    Context(
        "curl-credentials",
        r"curl\b(?:[^\n]|\\\n)*?\s(?:-u|--user)[\s=]*['\"]?"
        r"([^\s'\"$:{}<>]*:['\"]?[^\s'\"$:{}<>]{3,}|[^\s'\"$:{}<>]{8,}:)(?:['\"\s]|$)",
        2.0,
    ),
    Context(
        "header-token",
        r"(?i)(?:-H|--header)[\s=]*['\"](?:x-)?(?:api[-_]?(?:key|token)|auth[-_]?(?:key|token)|private-token"
        r"|access-token|token)\s*:\s*(?:token\s|bearer\s)?\s*([\w.~+/=@$!-]{8,})",
        2.8,
    ),
    Context("connection-secret", r"(?i)(?:accountkey|sharedaccesskey|pwd|password)=([^;\s'\"$<>{}]{6,128});", 2.5),
    Context(
        "nuget-password",
        r"(?i)<add key=\\?\"(?:clear ?text)?password\\?\"\s*value=\\?\"([^\"\n]{4,200}?)\\?\"\s*/>",
        2.5,
    ),
)

AROUND: Final = (
    r"(?i):AA|[a-h0-9]{32}-|[0-9]{15}|contribsys|sumo|://|authorization|curl|-H|--header|accountkey|sharedaccesskey|pwd="
    r"|password="
    r"|<add key"
)
"""Part of one of these stands in every context: one search instead of one for each."""
