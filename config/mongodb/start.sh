#!/bin/sh
# Gives mongod the key of its replica set as a file that only mongod may read, then starts it as the image does.
set -eu
install -m 0400 -o mongodb -g mongodb /run/secrets/mongo_keyfile /data/configdb/keyfile
exec docker-entrypoint.sh mongod --keyFile /data/configdb/keyfile "$@"
