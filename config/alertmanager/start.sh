#!/bin/sh
# Fills in alertmanager.yml and starts what the arguments name with it: Alertmanager itself knows no variables.
#
#   TEMPLATE   the file to fill in (default: beside this script)
#   TARGET     where to (default: /tmp/alertmanager.yml)
#   SECRETS    the folder of alert_smtp_password and alert_slack_webhook (default: /run/secrets)
set -eu
TEMPLATE=${TEMPLATE:-$(dirname "$0")/alertmanager.yml}
TARGET=${TARGET:-/tmp/alertmanager.yml}
SECRETS=${SECRETS:-/run/secrets}

# First what would end the text in YAML, then what sed would take for more than a text.
quoted() { printf '%s' "$1" | sed -e 's/[\\"]/\\&/g' -e 's/[\\&|]/\\&/g'; }

script="s|@SECRETS@|$(quoted "$SECRETS")|g"
for name in ALERT_SMTP_SMARTHOST ALERT_MAIL_FROM ALERT_SMTP_USER ALERT_MAIL_TO ALERT_SLACK_CHANNEL; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || { echo "alertmanager: $name is empty" >&2; exit 1; }
    script="$script;s|@$name@|$(quoted "$value")|g"
done
for secret in alert_smtp_password alert_slack_webhook; do
    [ -s "$SECRETS/$secret" ] || { echo "alertmanager: $SECRETS/$secret is missing or empty" >&2; exit 1; }
done
sed -e '/^#/d' -e "$script" "$TEMPLATE" >"$TARGET"
exec "$@" --config.file="$TARGET"
