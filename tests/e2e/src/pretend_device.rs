//! What stands for ssh where `doorward rebuild` is tried, and for the devices behind it: a script that answers
//! as a device does that goes over to another generation, and keeps what it was told in files.

use crate::ward;

/// It is in the folder of its device. `visits` there has each visit, `path` what it goes over to; where there
/// is a file `full`, nothing can be freed.
const ANSWERS: &str = r#"case $command in
"ward store receive") exec $ward store receive --root "$folder/root";;
esac
echo "$host: ${command%% --*}" >>visits
case $command in
"ward generation activate"*) echo "services go over"; touch over; echo "${command##* }" >path;;
"ward generation confirm "*) touch confirmed;;
"ward generation status --json")
	path=$(cat path)
	if [ -e confirmed ]; then boot=$path phase=committed; else boot=/nix/store/before phase=awaiting; fi
	printf '{"running":{"path":"%s","number":2},"boot":{"path":"%s"},' $path $boot
	printf '"trial":{"id":"other","phase":"%s","warnings":["logs are kept elsewhere from the next start on"]}}\n' $phase
	;;
"ward store collect"*) echo "$command" >>collected; [ ! -e full ] || exit 1;;
esac
"#;

/// The text of that script. `place` goes into the folder of the device `$host`, or ends with 255 where there
/// is none; `$command` is what is asked of it.
pub fn ssh(place: &str) -> String {
    let ward = ward().display();
    format!(
        "#!/bin/sh\nward={ward}\nfor word; do host=$command command=$word; done\n{place}{ANSWERS}"
    )
}
