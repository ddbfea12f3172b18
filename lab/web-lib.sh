# shellcheck shell=bash
# lab/web-lib.sh - a web server with one file. Source it after lib.sh.

# web_start HOST LISTEN FILE [LINE...]: nginx, in the background as nginx; LISTEN: as in its configuration, PORT or
# ADDRESS:PORT; the lines stand in its `server` section. The file is /NAME there. Who asks is written to $WEB_PEERS, a line
# each: address and number of the connection.
WEB_PEERS=$LAB_DIR/web/peers
web_start() {
    local dir=$LAB_DIR/web
    need nginx
    mkdir -p "$dir/www" "$dir/tmp"
    ln "$3" "$dir/www/" || lab_fail "$3 cannot be served"
    cat >"$dir/nginx.conf" <<EOC
daemon off;
worker_processes 1;
user root;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events { }
http {
    log_format peers '\$remote_addr \$connection';
    access_log $WEB_PEERS peers;
    client_body_temp_path $dir/tmp;
    client_max_body_size 0;
    proxy_temp_path $dir/tmp;
    fastcgi_temp_path $dir/tmp;
    uwsgi_temp_path $dir/tmp;
    scgi_temp_path $dir/tmp;
    server {
        listen $2;
        root $dir/www;
$(printf '        %s\n' "${@:4}")
    }
}
EOC
    bg "$1" nginx nginx -c "$dir/nginx.conf" -e "$dir/nginx.log"
    wait_for 5 "nginx listens" listening "$1" tcp "${2##*:}"
}
