#!/bin/sh
set -eu
name=$1 directory=$2
wanted=$(docker image inspect --format '{{.Id}}' "$name/api:2")
for service in api_blue api_green; do
    container="$name-$service-1"
    [ "$(docker inspect --format '{{.Image}}' "$container")" = "$wanted" ]
    [ "$(docker inspect --format '{{.State.Health.Status}}' "$container")" = healthy ]
    docker inspect --format '{{.Config.Env}}' "$container" | grep -q 'NOTE=version 2'
done
[ "$(docker inspect --format '{{.Id}}' "$name-database-1")" = "$(cat "$directory/database")" ]
docker volume inspect "${name}_data" >/dev/null
[ -z "$(find "$directory/state" -type f -perm /077)" ]
grep -q "$wanted" "$directory/state/images.yml"
