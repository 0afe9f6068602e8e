#!/bin/sh
# Makes what compose.yaml takes as files: certificates of the two databases, passwords, and a root key. Never writes over a
# file: run it again after you removed what is to be made anew (a certificate before it ends, for example).
#
#     sudo sh deploy/make-secrets.sh [FOLDER]        by default deploy/secrets
#
# Compose mounts such files with the owner and mode that they have here, and Tacita and PostgreSQL refuse a secret that others
# can read. So each belongs to the user of the container that reads it, which takes root; TACITA_UID and POSTGRES_UID say
# which those are where containers' users are mapped (rootless). DATA_HOST and KEYS_HOST are the servers' names, in their
# certificates as in tacita.toml.
set -eu
umask 077

folder=${1:-$(dirname "$0")/secrets}
app=${TACITA_UID:-10001}
postgres=${POSTGRES_UID:-999}
days=${CERTIFICATE_DAYS:-397}
keys_host=${KEYS_HOST:-db-keys}

mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

new() { # NAME: whether it is to be made
    if [ -e "$1" ]; then
        echo "$1 is there already and stays"
        return 1
    fi
}

mine() { # OWNER MODE FILE
    chmod "$2" "$3"
    chown "$1:$1" "$3"
}

password() { # NAME OWNER: 256 bits that need no quoting anywhere
    if new "$1"; then
        openssl rand -hex 32 > "$1.new"
        mine "$2" 400 "$1.new"
        mv "$1.new" "$1"
    fi
}

# --- the authority: its key signs servers, so keep it off the machine once they have their certificates ---

if new ca.crt; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
        -subj "/CN=Tacita databases" -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout ca.key -out ca.crt 2> /dev/null
    # It is no secret, and everybody checks servers by it.
    chmod 444 ca.crt
fi

certificate() { # NAME HOST
    if new "$1.crt"; then
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "/CN=$2" \
            -keyout "$1.key" -out "$1.csr" 2> /dev/null
        printf '%s\n' "subjectAltName=DNS:$2" "basicConstraints=critical,CA:FALSE" \
            "keyUsage=critical,digitalSignature" "extendedKeyUsage=serverAuth" > "$1.ext"
        # The first digit keeps it positive and of one length.
        openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -set_serial "0x1$(openssl rand -hex 15)" \
            -sha256 -days "$days" -extfile "$1.ext" -out "$1.crt" 2> /dev/null
        rm "$1.csr" "$1.ext"
        mine "$postgres" 400 "$1.key"
        chmod 444 "$1.crt"
    fi
}
certificate db-data "${DATA_HOST:-db-data}"
certificate db-keys "$keys_host"

# --- passwords: of each server's administrator, and of the one role that uses it ---

for half in data keys; do
    password "$half-admin-password" "$postgres"
    # The same for `schema`, which runs as Tacita's user and sets up the database once.
    if new "$half-admin-password.app"; then
        cp "$half-admin-password" "$half-admin-password.app"
        mine "$app" 400 "$half-admin-password.app"
    fi
    password "$half-password" "$app"
done
# pg_dump of the key ring runs in PostgreSQL's image, and takes a password from a file of this form only.
if new keys.pgpass; then
    printf '%s:*:tacita_keys:tacita_keys:%s\n' "$keys_host" "$(cat keys-password)" > keys.pgpass
    mine "$postgres" 400 keys.pgpass
fi

# --- the root key, unless a key service holds it: then remove this file and `keys` in tacita.toml names the service ---

if new root.key; then
    openssl rand -base64 32 > root.key
    mine "$app" 400 root.key
fi

# --- folders for copies: data and keys apart, each its writer's alone ---

for each in "data $app" "keys $postgres"; do
    owner=${each#* }
    mkdir -p "../backups/${each% *}"
    chmod 700 ../backups
    mine "$owner" 700 "../backups/${each% *}"
done
